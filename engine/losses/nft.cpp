#include "engine/losses/nft.h"

#include <ATen/ATen.h>

#include "engine/core/per_sample.h"

namespace thalweg {

at::Tensor nft_advantage(const at::Tensor& advantage_B, NftMode mode) {
  switch (mode) {
    case NftMode::positive_only:
      return advantage_B.clamp_min(0.0);
    case NftMode::negative_only:
      return advantage_B.clamp_max(0.0);
    case NftMode::one_only:
      return (advantage_B > 0.0).to(advantage_B.scalar_type());
    case NftMode::binary:
      return advantage_B.sign();
    case NftMode::all:
      break;
  }
  return advantage_B;
}

at::Tensor nft_optimality(const at::Tensor& advantage_B, double adv_clip_max) {
  return (advantage_B / (2.0 * adv_clip_max) + 0.5).clamp(0.0, 1.0);
}

at::Tensor self_normalised_error(const at::Tensor& predicted, const at::Tensor& truth) {
  const auto error = (predicted - truth).flatten(1);
  const auto weight = error.detach().abs().to(at::kDouble).mean(1).clamp_min(1e-5).to(error.scalar_type());
  return error.square().mean(1) / weight;
}

at::Tensor nft_loss(const at::Tensor& v, const at::Tensor& v_old, const at::Tensor& x_t, const at::Tensor& x0,
                    const at::Tensor& sigma_B, const at::Tensor& r_B, double beta, double scale) {
  const auto sigma = per_sample(sigma_B, x_t);
  const auto old = v_old.detach();
  const auto positive = self_normalised_error(x_t - sigma * (beta * v + (1.0 - beta) * old), x0);
  const auto negative = self_normalised_error(x_t - sigma * ((1.0 + beta) * old - beta * v), x0);
  return (r_B * positive + (1.0 - r_B) * negative) * (scale / beta);
}

at::Tensor velocity_kl(const at::Tensor& v, const at::Tensor& v_reference) {
  return (v - v_reference.detach()).square().flatten(1).mean(1);
}

}  // namespace thalweg
