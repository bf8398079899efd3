// Reward-weighted regression for flows: Flow-RWR (VideoReward, Liu et al. 2025, arXiv 2501.13918,
// section 4.2; RWR: Peters and Schaal 2007). The minimiser of E[exp(r(x_0)/beta) |v - (e - x_0)|^2] is the
// velocity of p(x_0) exp(r(x_0)/beta) / Z.
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

struct RwrWeights {
  at::Tensor weight_B;  // float64, of mean 1 over the samples that are used; 0 elsewhere
  double ess = 0.0;     // effective sample size, (sum w)^2 / sum w^2, as a share of those samples; of none 0
};

/// exp((r - max r) / beta): the largest is taken off, so that no reward overflows. `used_B` bool: what the
/// other rewards hold is not looked at. Constants.
RwrWeights rwr_weights(const at::Tensor& reward_B, const at::Tensor& used_B, double beta);

}  // namespace thalweg
