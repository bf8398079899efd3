// GDPO (arXiv 2601.05242; Flow-Factory, Pref-GRPO): each reward is normalised within its groups before the
// rewards meet, so that one of wide spread does not drown the others; the sum is normalised over the batch.
#pragma once

#include "engine/advantages/group.h"

namespace thalweg {

/// K rewards [B,K], with validity; `weights_K` of any sign.
struct WeightedRewards {
  at::Tensor values_BK, valid_BK;
  std::vector<double> weights_K;
};

/// A = z(sum_k w_k A_k), clamped: A_k the group advantages of reward k without a clamp, z the mean and
/// deviation of all used samples. A reward that a sample lacks adds nothing to its sum; a sample is used
/// when any reward's advantage is. zero_std_ratio and reward_std_mean are means over the rewards.
GroupAdvantages gdpo_advantages(const WeightedRewards& rewards, const std::vector<int64_t>& group_B,
                                const GroupNorm& norm);

/// The group advantages of each column, without a clamp.
std::vector<GroupAdvantages> column_advantages(const WeightedRewards& rewards,
                                               const std::vector<int64_t>& group_B, const GroupNorm& norm);

/// What samples are used by any of `parts`, and the means of their statistics; no values yet. At least one
/// part.
GroupAdvantages joined(const std::vector<GroupAdvantages>& parts);

/// values <- (values - mean) / (deviation + eps) over the used samples, clamped.
void standardise(GroupAdvantages& advantages, const GroupNorm& norm);

}  // namespace thalweg
