#include "samplers/kernels/memoryless.h"

#include <cmath>

namespace thalweg {

Kernel memoryless(double eta) {
  return [eta](const Schedule& schedule, int64_t index) {
    const auto i = static_cast<size_t>(index);
    const double s = schedule.sigmas.at(i), next = schedule.sigmas.at(i + 1);
    const double kept = (1.0 - s) / (1.0 - next) * next / s;
    return renoised(schedule, index, eta * next * std::sqrt((1.0 - kept) * (1.0 + kept)));
  };
}

}  // namespace thalweg
