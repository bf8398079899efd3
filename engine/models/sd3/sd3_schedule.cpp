#include "engine/models/sd3/sd3_schedule.h"

#include "engine/core/noise_levels.h"

namespace thalweg {

Schedule sd3_schedule(int64_t steps, double shift, int64_t num_train_timesteps) {
  const double sigma_min = shifted(1.0 / static_cast<double>(num_train_timesteps), shift);
  Schedule schedule;
  for (int64_t i = 0; i < steps; ++i) {
    const double u = steps == 1 ? 0.0 : static_cast<double>(i) / static_cast<double>(steps - 1);
    schedule.sigmas.push_back(shifted(1.0 + (sigma_min - 1.0) * u, shift));
  }
  schedule.sigmas.push_back(0.0);
  return schedule;
}

}  // namespace thalweg
