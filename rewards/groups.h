// Rewards that compare the samples of a group, and the calls that they get.
#pragma once

#include "rewards/reward.h"

namespace thalweg {

/// Scores a reward that compares on samples whose group_ids say who is compared with whom: groups in the
/// order of their first samples, the samples of each in a row. Those of groups that are smaller than what it
/// compares, or without a group (-1), are not handed over, and are among the failures. Values are in the
/// order of the input.
Scored score_groups(Reward& reward, const ScoreInput& input);

/// Samples by group, in the order of first samples; without those of no group.
std::vector<std::vector<int64_t>> samples_by_group(const std::vector<int64_t>& group_ids);

}  // namespace thalweg
