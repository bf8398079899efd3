// Numbers of a rollout or an evaluation that say whether a reward is being exploited; monitors.h judges them.
#pragma once

#include "pipelines/stages/evaluation.h"
#include "pipelines/training/metrics.h"

namespace thalweg {

/// Adds reward_corr_{a}_{b} for pairs of the first 8 reward columns (Pearson over samples scored by both),
/// the means of image_statistic_names() and `diversity` (picture_diversity within the groups).
/// What is not defined is left out.
void add_measures(const RewardBatch& raw, const ImageStatistics& pictures,
                  const std::vector<int64_t>& group_B, Metrics& metrics);

/// Of a held-out evaluation: mean and standard error ("{name}_stderr"; from 16 scored samples on: fewer are
/// too few to tell) of `reward` and of each column, and add_measures with all pictures as one group.
Metrics evaluation_metrics(const Evaluation& evaluation);

}  // namespace thalweg
