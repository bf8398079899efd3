#include "samplers/schedules/linear.h"

namespace thalweg {

Schedule linear_schedule(int64_t steps) {
  Schedule schedule;
  for (int64_t i = 0; i < steps; ++i)
    schedule.sigmas.push_back(1.0 - static_cast<double>(i) / static_cast<double>(steps));
  schedule.sigmas.push_back(0.0);
  return schedule;
}

}  // namespace thalweg
