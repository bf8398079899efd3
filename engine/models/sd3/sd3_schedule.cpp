#include "engine/models/sd3/sd3_schedule.h"

#include "engine/core/noise_levels.h"

namespace thalweg {

Schedule sd3_schedule(int64_t steps, double shift, int64_t num_train_timesteps) {
  const double sigma_min = shifted(1.0 / static_cast<double>(num_train_timesteps), shift);
  return schedule_between(steps, [=](int64_t i) {
    const double u = static_cast<double>(i) / static_cast<double>(steps - 1);
    return shifted(1.0 + (sigma_min - 1.0) * u, shift);
  });
}

}  // namespace thalweg
