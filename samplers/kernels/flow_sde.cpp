#include "samplers/kernels/flow_sde.h"

#include <cmath>

namespace thalweg {

Kernel flow_sde(double noise_level) {
  return [noise_level](const Schedule& schedule, int64_t index) {
    const double s = schedule.sigmas.at(static_cast<size_t>(index));
    const double clamped = index == 0 ? schedule.sigmas.at(1) : s;
    return reverse_sde(schedule, index, noise_level * std::sqrt(s / (1.0 - clamped)));
  };
}

}  // namespace thalweg
