// Flow matching of each sample by a weight, which stands for its advantage: what methods share that push no
// sample away.
#pragma once

#include "pipelines/methods/matching.h"
#include "pipelines/methods/noise_levels.h"

namespace thalweg {

struct WeightedMatching {
  NoiseLevels levels;
  double kl_beta = 0.0;
};

/// Those of the levels, and "kl_beta".
void describe(Fields& fields, WeightedMatching& options);

/// `options` and `training` must outlive it.
Matching matching_of(const WeightedMatching& options, const Training& training);

}  // namespace thalweg
