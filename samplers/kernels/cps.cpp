#include "samplers/kernels/cps.h"

#include <cmath>
#include <numbers>

namespace thalweg {

Kernel cps(double eta) {
  const double share = std::sin(eta * std::numbers::pi / 2.0);
  return [share](const Schedule& schedule, int64_t index) {
    return renoised(schedule, index, schedule.sigmas.at(static_cast<size_t>(index) + 1) * share);
  };
}

LogProbForm squared_error(double) {
  return {1.0, 0.0};
}

}  // namespace thalweg
