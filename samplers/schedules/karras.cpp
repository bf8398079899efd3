#include "samplers/schedules/karras.h"

#include <cmath>

#include "engine/core/noise_levels.h"

namespace thalweg {

Schedule karras_schedule(int64_t steps, double rho, double sigma_min) {
  const double low = std::pow(sigma_min, 1.0 / rho);
  return schedule_between(steps, [=](int64_t i) {
    const double u = static_cast<double>(i) / static_cast<double>(steps - 1);
    // Exact at u = 1, where 1 + u (low - 1) cancels to 0 for a small rho.
    return std::pow(std::lerp(1.0, low, u), rho);
  });
}

}  // namespace thalweg
