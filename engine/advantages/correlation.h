// Correlation-weighted rewards (CMO, arXiv 2603.18528): within a group, a reward that rises and falls with
// the others is heard less, one that goes its own way more.
#pragma once

#include "engine/advantages/gdpo.h"

namespace thalweg {

/// softmax((1 - b) / temperature): b_k the mean of C_kj over j != k, C Pearson's correlation over the samples
/// that have both (0 where one is constant); b_k = 1 where column k is constant. Of values [G,K] of one
/// group, NaN: absent. A column without two values gets 0, and the others' weights are 1 together.
std::vector<double> correlation_weights(const at::Tensor& values_GK, double temperature);

/// A = z(sum_k v_k A_k), clamped, with v_k proportional to w_k times the group's correlation weight and 1
/// together (w_k > 0: of the job; alike in the paper). Of one reward: its group advantages, clamped.
/// What a sample lacks adds nothing; a reward that a whole group lacks is no part of its K.
///
/// The authors add the plain sum wherever anything is absent, which is K times as large: here such a group
/// weighs what it has.
GroupAdvantages correlation_advantages(const WeightedRewards& rewards, const std::vector<int64_t>& group_B,
                                       const GroupNorm& norm, double temperature);

}  // namespace thalweg
