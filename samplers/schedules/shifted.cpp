#include "samplers/schedules/shifted.h"

#include "engine/core/noise_levels.h"
#include "samplers/schedules/linear.h"

namespace thalweg {

Schedule shifted_schedule(int64_t steps, double shift) {
  auto schedule = linear_schedule(steps);
  for (auto& s : schedule.sigmas) s = shifted(s, shift);
  return schedule;
}

}  // namespace thalweg
