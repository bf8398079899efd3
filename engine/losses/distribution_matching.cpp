#include "engine/losses/distribution_matching.h"

#include <ATen/ATen.h>

namespace thalweg {
namespace {

// Means of samples.
at::Tensor over_elements(const at::Tensor& x) {
  return x.flatten(1).mean(1);
}

// [B] against latents.
at::Tensor like(const at::Tensor& of_B, const at::Tensor& x) {
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[0] = x.size(0);
  return of_B.to(x.scalar_type()).view(shape);
}

}  // namespace

ConditionalPath conditional_path(const at::Tensor& tau_B, double s) {
  const auto al_B = (1.0 - tau_B) / (1.0 - s);
  return {al_B, (tau_B.square() - al_B.square() * (s * s)).clamp_min(0.0).sqrt()};
}

at::Tensor conditional_velocity(const at::Tensor& x_s, const at::Tensor& noise, const at::Tensor& tau_B,
                                double s) {
  const auto [al_B, be_B] = conditional_path(tau_B, s);
  return x_s * (-1.0 / (1.0 - s)) + noise * like((tau_B + al_B * (s * s / (1.0 - s))) / be_B, x_s);
}

at::Tensor distribution_matching_loss(const at::Tensor& clean, const at::Tensor& mu_real,
                                      const at::Tensor& mu_fake, double huber) {
  const auto now = clean.detach();
  const auto target = now + mu_real - mu_fake;
  const auto weight_B = 1.0 / over_elements((now - mu_real).abs()).clamp_min(1e-5);
  const auto square = (clean - target).square();
  return weight_B * over_elements(huber > 0.0 ? (square + huber * huber).sqrt() - huber : square);
}

}  // namespace thalweg
