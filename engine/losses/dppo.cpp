#include "engine/losses/dppo.h"

#include <ATen/ATen.h>

#include "engine/losses/grpo.h"

namespace thalweg {

DppoLoss dppo_loss(const at::Tensor& log_prob_B, const at::Tensor& old_log_prob_B,
                   const at::Tensor& divergence_B, const at::Tensor& advantage_B, double threshold) {
  const auto r = ratio(log_prob_B, old_log_prob_B);
  const auto a = advantage_B.detach(), value = r.detach();
  const auto outward_B = ((value > 1.0) & (a > 0.0)) | ((value < 1.0) & (a < 0.0));
  const auto dropped_B = (divergence_B.detach() >= threshold) & outward_B;
  return {at::where(dropped_B, 0.0, -a * r), value, dropped_B};
}

}  // namespace thalweg
