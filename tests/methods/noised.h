// The samples of an iteration as the clean-latent loop noises them, for tests that know what a method asks of
// them.
#pragma once

#include <ATen/ATen.h>

#include "engine/core/rng.h"
#include "pipelines/methods/noise_levels.h"
#include "pipelines/training/scores.h"
#include "samplers/kernels/ode.h"
#include "tests/methods/methods.h"

namespace thalweg {

/// Of one noising a sample: all of them, in order.
struct Noised {
  at::Tensor x_t, target, sigma_B;

  /// mean over elements of (v - target)^2, [B], of the small model with these parameters.
  at::Tensor error(const Training& t, const TensorMap& parameters) const {
    return (t.space.bind(parameters)(x_t, {}, {}) - target).square().flatten(1).mean(1);
  }
};

/// `slot_B` decide noise and level: of the samples, or of their groups.
inline Noised noised(const Training& t, const std::vector<MicroBatch>& batches, const NoiseLevels& levels,
                     const std::vector<int64_t>& slot_B) {
  std::vector<at::Tensor> parts;
  for (const auto& batch : batches) parts.push_back(batch.trajectory.x0_BCFHW);
  const auto x0 = at::cat(parts);
  const auto noise =
      normal_noise(t.seed(), Purpose::training_noise, slot_B, 0, x0.sizes().slice(1), at::kDouble);
  Noised n;
  n.sigma_B = drawn_levels(levels, t, slot_B)[0];
  const auto sigma = n.sigma_B.view({-1, 1, 1, 1, 1});
  n.x_t = (1.0 - sigma) * x0 + sigma * noise;
  n.target = noise - x0;
  return n;
}

inline std::vector<int64_t> slots_of(const std::vector<MicroBatch>& batches) {
  std::vector<int64_t> slots;
  for (const auto& batch : batches)
    for (const auto slot : batch.slot_B()) slots.push_back(slot);
  return slots;
}

/// What the first iteration draws with the ODE, and its scores.
inline std::pair<std::vector<MicroBatch>, Scores> first_rollout(Training& t, const GroupPlan& plan) {
  Metrics metrics;
  auto batches = draw_groups(t, 0, plan, t.policy.velocity(),
                             [](const SamplerInput& in) { return sample_transitions(in, ode()); });
  auto scores = score(t, batches, metrics);
  return {std::move(batches), std::move(scores)};
}

}  // namespace thalweg
