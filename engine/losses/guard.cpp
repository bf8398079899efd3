#include "engine/losses/guard.h"

#include <ATen/ATen.h>

namespace thalweg {

at::Tensor guarded_log_ratio(const at::Tensor& log_prob_B, const at::Tensor& old_log_prob_B,
                             const at::Tensor& mean, const at::Tensor& old_mean, double std) {
  TORCH_CHECK(std > 0.0, "a step without noise has no ratio");
  return (log_prob_B - old_log_prob_B.detach() + gaussian_kl(mean, old_mean, std)) * std;
}

PolicyLoss guard_loss(const at::Tensor& log_ratio_B, const at::Tensor& advantage_B, double clip_range,
                      double dt) {
  TORCH_CHECK(dt > 0.0, "steps go from noise to data");
  auto [loss_B, ratio_B] = grpo_loss(log_ratio_B, at::zeros_like(log_ratio_B), advantage_B, clip_range);
  return {loss_B / dt, ratio_B};
}

}  // namespace thalweg
