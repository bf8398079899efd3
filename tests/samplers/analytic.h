// A small nonlinear velocity that needs no network, and latents to start from.
#pragma once

#include <ATen/ATen.h>

#include "engine/core/rng.h"
#include "samplers/sampler.h"

namespace thalweg {

/// Seeded noise [4,2,1,3,3].
inline at::Tensor random_latents(uint64_t seed, at::ScalarType dtype,
                                 const std::vector<int64_t>& slots = {0, 1, 2, 3}) {
  return normal_noise(seed, Purpose::data, slots, 0, {2, 1, 3, 3}, dtype);
}

/// v depends on x, the noise level, the sample's prompt tensor "c" [B,2], and on nothing else.
inline at::Tensor analytic_velocity(const at::Tensor& x, const Step& step, const Conditioning& c) {
  const auto sigma = step.sigma_B.to(x.scalar_type()).view({-1, 1, 1, 1, 1});
  const auto prompt = c.tensors.at("c").to(x.scalar_type()).view({-1, 2, 1, 1, 1});
  return at::tanh(x * 0.7 + prompt) - x * (0.2 * sigma);
}

inline Conditioning analytic_conditioning(const std::vector<int64_t>& slots) {
  Conditioning c;
  for (const auto slot : slots) c.prompts.push_back("prompt " + std::to_string(slot));
  c.tensors["c"] = normal_noise(11, Purpose::data, slots, 1, {2}, at::kDouble);
  return c;
}

/// Samples named by `slots`: noise, prompt and stream of a sample depend on its slot alone.
inline SamplerInput sampler_input(const Schedule& schedule, at::ScalarType dtype,
                                  const std::vector<int64_t>& slots = {0, 1, 2, 3}) {
  return {
      analytic_velocity, schedule, analytic_conditioning(slots), random_latents(9, dtype, slots), slots, 21};
}

}  // namespace thalweg
