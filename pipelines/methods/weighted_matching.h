// Flow matching of each sample by a weight, which stands for its advantage: what methods share that push no
// sample away.
#pragma once

#include "pipelines/methods/matching_method.h"
#include "pipelines/methods/noise_levels.h"

namespace thalweg {

struct WeightedMatching {
  GroupPlan groups{16, 12, 1};
  NoiseLevels levels{.times = 4};
  double kl_beta = 0.0;
};

/// Those of the levels, and "kl_beta"; the groups stand before what a method has of its own.
void describe(Fields& fields, WeightedMatching& options);
/// Throws Error for groups or levels that cannot be.
void check(const WeightedMatching& options, const TrainingOptions& job);

/// `options` and `training` must outlive it.
Matching matching_of(const WeightedMatching& options, const Training& training);

}  // namespace thalweg
