// The loss of DGPO, Direct Group Preference Optimization (Luo et al. 2025, arXiv 2510.08425: the gradient of
// its objective) with the guards of its authors' code, of which the second came with TDM-R1 (arXiv
// 2603.07700): of each sample i of a group,
//   loss_i = w A_i l_i,   w = sigmoid(mean over the group of A_j beta (l_j - lref_j)),
// l = mean over elements of (v - (e - x_0))^2 of the policy and lref of the reference. w is a constant, so
// that the gradient is a weight of its own for each l_i: what these functions compute.
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

/// w of each sample's group at each of T noisings, [T,B]. A group that the policy already tells apart better
/// than the reference (good ones matched better, bad ones worse) has w below 1/2. group_B: int64 ids from 0;
/// samples that are not `used` enter no mean. A group without any has w = 1/2. beta >= 0.
at::Tensor dgpo_group_weight(const at::Tensor& l_TB, const at::Tensor& l_ref_TB,
                             const at::Tensor& advantage_B, const at::Tensor& group_B,
                             const at::Tensor& used_B, double beta);

/// Where PPO's clip ends the gradient: rho = exp(l_old - l) is above 1 + c for A > 0, or below 1 - c for A <
/// 0.
at::Tensor dgpo_clipped(const at::Tensor& l, const at::Tensor& l_old, const at::Tensor& advantage,
                        double clip_range);

/// Where the policy is further than `limit` (mean over elements of (v - v_base)^2, `distance`) from the base
/// model and the loss would take it further: it already matches a good sample better than the base, or a bad
/// one worse.
at::Tensor dgpo_too_far(const at::Tensor& l, const at::Tensor& l_base, const at::Tensor& distance,
                        const at::Tensor& advantage, double limit);

}  // namespace thalweg
