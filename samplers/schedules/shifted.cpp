#include "samplers/schedules/shifted.h"

#include "samplers/schedules/linear.h"

namespace thalweg {

Schedule shifted_schedule(int64_t steps, double shift) {
  auto schedule = linear_schedule(steps);
  for (auto& s : schedule.sigmas) s = shift * s / (1.0 + (shift - 1.0) * s);
  return schedule;
}

}  // namespace thalweg
