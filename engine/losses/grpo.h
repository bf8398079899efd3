// The clipped policy loss of Flow-GRPO (arXiv 2505.05470, equation 5; PPO, arXiv 1707.06347, equation 7).
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

struct PolicyLoss {
  at::Tensor loss_B;   // max(-A ratio, -A clip(ratio, 1-c, 1+c))
  at::Tensor ratio_B;  // detached
};

/// exp(log_prob - old_log_prob), old_log_prob a constant. The log-ratio is clamped to +-10 before exp: a huge
/// ratio with A < 0 is unbounded otherwise.
at::Tensor ratio(const at::Tensor& log_prob_B, const at::Tensor& old_log_prob_B);

/// log_prob_B carries the gradient; old_log_prob_B and advantage_B are constants.
PolicyLoss grpo_loss(const at::Tensor& log_prob_B, const at::Tensor& old_log_prob_B,
                     const at::Tensor& advantage_B, double clip_range);

/// mean over elements of (mean - reference)^2 / (2 scale^2), [B]. With scale = g it is Flow-GRPO's KL term,
/// with scale = g sqrt(-dt) the KL divergence of the two Gaussians a dimension.
at::Tensor gaussian_kl(const at::Tensor& mean_BCFHW, const at::Tensor& reference_mean_BCFHW, double scale);

}  // namespace thalweg
