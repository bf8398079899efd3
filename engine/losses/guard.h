// GRPO-Guard (Wang et al. 2025, arXiv 2510.22319, section 3): the log-ratio of a transition without its bias
// and without the step's scale, and its policy loss without the weight that steps have in the gradient.
#pragma once

#include "engine/losses/grpo.h"

namespace thalweg {

/// [log p - log p_old + mean(mu - mu_old)^2 / (2 S^2)] S, [B], with S = g sqrt(-dt), the step's deviation,
/// and log-probs of the Gaussian as means over latent elements. For next = mu_old + S e this is mean(e (mu -
/// mu_old)): without the correction its expectation is -mean(mu - mu_old)^2 / (2 S^2) < 0, so that it comes
/// to the lower clip sooner than to the upper one. The gradient flows through log_prob_B and mean.
at::Tensor guarded_log_ratio(const at::Tensor& log_prob_B, const at::Tensor& old_log_prob_B,
                             const at::Tensor& mean_BCFHW, const at::Tensor& old_mean_BCFHW, double std);

/// The clipped loss of the ratio e^log_ratio, divided by dt = s - s' > 0.
PolicyLoss guard_loss(const at::Tensor& log_ratio_B, const at::Tensor& advantage_B, double clip_range,
                      double dt);

}  // namespace thalweg
