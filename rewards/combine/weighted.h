// From K columns to one reward a sample.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "rewards/reward_batch.h"

namespace thalweg {

struct CombinedReward {
  at::Tensor total_B;  // float64 on the CPU; NaN where not valid
  at::Tensor valid_B;  // bool
};

/// total = sum over k of weights_K[k] values[b,k]. A column of weight 0 is not used at all; a sample with an
/// invalid entry in a used column is masked, since a missing term would pass for a reward of 0.
/// Throws std::invalid_argument for a wrong number of weights or one that is not finite.
CombinedReward weighted(const RewardBatch& rewards, const std::vector<double>& weights_K);

}  // namespace thalweg
