#include "engine/losses/centered_reward.h"

#include <ATen/ATen.h>

#include "engine/losses/nft.h"

namespace thalweg {
at::Tensor crd_implicit_reward(const at::Tensor& v, const at::Tensor& v_old, const at::Tensor& target) {
  return self_normalised_error(v_old.detach(), target) - self_normalised_error(v, target);
}

at::Tensor crd_residual(const at::Tensor& r_th_TB, const at::Tensor& r_B, const at::Tensor& used_B,
                        double beta) {
  const auto difference_TB = at::where(used_B, beta * r_th_TB - r_B, 0.0).detach();
  const auto count = used_B.sum().clamp_min(1);
  return at::where(used_B, difference_TB - difference_TB.sum(1, /*keepdim=*/true) / count, 0.0);
}

at::Tensor crd_loss(const at::Tensor& r_th_B, const at::Tensor& residual_B, double beta, double scale) {
  const auto residual = residual_B.detach();
  return (scale / beta) * residual.square() + 2.0 * scale * residual * (r_th_B - r_th_B.detach());
}

}  // namespace thalweg
