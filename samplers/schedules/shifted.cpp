#include "samplers/schedules/shifted.h"

#include "engine/core/noise_levels.h"
#include "samplers/schedules/linear.h"

namespace thalweg {

Schedule shifted_schedule(int64_t steps, double shift) {
  const auto linear = linear_schedule(steps);
  return schedule_between(steps,
                          [&](int64_t i) { return shifted(linear.sigmas[static_cast<size_t>(i)], shift); });
}

}  // namespace thalweg
