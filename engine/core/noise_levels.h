// Arithmetic of noise levels, for schedules of models and of samplers.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

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

/// Of the levels of two schedules; infinite where one has more of them.
inline double largest_difference(const Schedule& a, const Schedule& b) {
  if (a.steps() != b.steps()) return std::numeric_limits<double>::infinity();
  double largest = 0.0;
  for (size_t i = 0; i < a.sigmas.size(); ++i)
    largest = std::max(largest, std::abs(a.sigmas[i] - b.sigmas[i]));
  return largest;
}

/// Schedules no further apart are one: diffusers keeps levels in float32.
inline constexpr double kSameLevels = 1e-6;

}  // namespace thalweg
