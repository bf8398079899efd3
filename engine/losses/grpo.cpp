#include "engine/losses/grpo.h"

#include <ATen/ATen.h>

namespace thalweg {

at::Tensor ratio(const at::Tensor& log_prob_B, const at::Tensor& old_log_prob_B) {
  return (log_prob_B - old_log_prob_B.detach()).clamp(-10.0, 10.0).exp();
}

PolicyLoss grpo_loss(const at::Tensor& log_prob_B, const at::Tensor& old_log_prob_B,
                     const at::Tensor& advantage_B, double clip_range) {
  const auto r = ratio(log_prob_B, old_log_prob_B);
  const auto a = advantage_B.detach();
  const auto loss = at::maximum(-a * r, -a * r.clamp(1.0 - clip_range, 1.0 + clip_range));
  return {loss, r.detach()};
}

at::Tensor gaussian_kl(const at::Tensor& mean, const at::Tensor& reference_mean, double scale) {
  return (mean - reference_mean.detach()).square().flatten(1).mean(1) / (2.0 * scale * scale);
}

}  // namespace thalweg
