#include "samplers/schedules/karras.h"

#include <cmath>

namespace thalweg {

Schedule karras_schedule(int64_t steps, double rho, double sigma_min) {
  Schedule schedule;
  const double low = std::pow(sigma_min, 1.0 / rho);
  for (int64_t i = 0; i < steps; ++i) {
    const double u = steps == 1 ? 0.0 : static_cast<double>(i) / static_cast<double>(steps - 1);
    schedule.sigmas.push_back(std::pow(1.0 + u * (low - 1.0), rho));
  }
  schedule.sigmas.push_back(0.0);
  return schedule;
}

}  // namespace thalweg
