#include "engine/losses/distribution_matching.h"

#include <ATen/ATen.h>

#include "engine/core/per_sample.h"

namespace thalweg {
namespace {

// Means of samples.
at::Tensor over_elements(const at::Tensor& x) {
  return x.flatten(1).mean(1);
}

}  // namespace

ConditionalPath conditional_path(const at::Tensor& tau_B, const at::Tensor& s_B) {
  const auto al_B = (1.0 - tau_B) / (1.0 - s_B);
  // Not sqrt(tau^2 - ...): a vector library's root of a square need not be the number again, and at s = 0 it
  // must.
  return {al_B, tau_B * (1.0 - (al_B * s_B / tau_B).square()).clamp_min(0.0).sqrt()};
}

at::Tensor conditional_velocity(const at::Tensor& x_s, const at::Tensor& noise, const at::Tensor& tau_B,
                                const at::Tensor& s_B) {
  const auto [al_B, be_B] = conditional_path(tau_B, s_B);
  const auto of_noise_B = (tau_B + al_B * s_B.square() / (1.0 - s_B)) / be_B;
  return noise * per_sample(of_noise_B, noise) - x_s * per_sample(1.0 / (1.0 - s_B), x_s);
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
