#include "engine/losses/grpo.h"

#include <ATen/ATen.h>

namespace thalweg {

PolicyLoss grpo_loss(const at::Tensor& log_prob_B, const at::Tensor& old_log_prob_B,
                     const at::Tensor& advantage_B, double clip_range) {
  const auto ratio = (log_prob_B - old_log_prob_B.detach()).clamp(-10.0, 10.0).exp();
  const auto a = advantage_B.detach();
  const auto loss = at::maximum(-a * ratio, -a * ratio.clamp(1.0 - clip_range, 1.0 + clip_range));
  return {loss, ratio.detach()};
}

at::Tensor gaussian_kl(const at::Tensor& mean, const at::Tensor& reference_mean, double scale) {
  return (mean - reference_mean.detach()).square().flatten(1).mean(1) / (2.0 * scale * scale);
}

}  // namespace thalweg
