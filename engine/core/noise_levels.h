// Arithmetic of noise levels, for schedules of models and of samplers.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

/// k s / (1 + (k-1) s) for k = `shift` > 0 (Esser et al. 2024, arXiv 2403.03206, equation 23): the level s in
/// [0,1] moved towards noise (k > 1) or data (k < 1). Of s = 1 it is 1 but for rounding.
inline double shifted(double sigma, double shift) {
  return shift * sigma / (1.0 + (shift - 1.0) * sigma);
}

/// THE maker of schedules: `steps` >= 1 steps from 1 to 0, both exact whatever rounding does. `level(i)` is
/// asked for 0 < i < steps alone.
template <typename Level>
Schedule schedule_between(int64_t steps, Level level) {
  Schedule schedule{{1.0}};
  for (int64_t i = 1; i < steps; ++i) schedule.sigmas.push_back(level(i));
  schedule.sigmas.push_back(0.0);
  return schedule;
}

}  // namespace thalweg
