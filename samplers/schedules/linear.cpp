#include "samplers/schedules/linear.h"

#include "engine/core/noise_levels.h"

namespace thalweg {

Schedule linear_schedule(int64_t steps) {
  return schedule_between(
      steps, [=](int64_t i) { return 1.0 - static_cast<double>(i) / static_cast<double>(steps); });
}

}  // namespace thalweg
