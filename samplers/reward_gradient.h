// A reward of noisy latents, and its gradient with respect to them, beside the velocity of the step, which is
// asked once for both.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

enum class WithGradient { no, yes };

/// What is known at x_t before a step. Nothing here is part of a graph, but for v where the gradient is asked
/// for at an x that is: whoever differentiates outside then goes through the velocity as well.
struct Lookahead {
  at::Tensor v_BCFHW, x0_BCFHW;  // the velocity, and the clean estimate x - t v
  at::Tensor value_B;            // float64 on the CPU; NaN: not scored
  at::Tensor gradient_BCFHW;     // d value_B / d x; 0 for samples not scored or whose gradient is not finite
};

/// A clean reward of the clean estimate, r(x0hat(x)). The gradient, through the reward and the velocity, is
/// undefined unless it is asked for; then both must be differentiable (a reward that is not trips
/// TORCH_CHECK).
Lookahead look_ahead(const Velocity& velocity, const RewardValue& reward, const at::Tensor& x_BCFHW,
                     const Step& step, const Conditioning& conditioning, WithGradient with_gradient);

/// A process reward of the noisy latents themselves, r(x, t); the gradient does not pass through the
/// velocity.
Lookahead look_at(const Velocity& velocity, const RewardValue& reward, const at::Tensor& x_BCFHW,
                  const Step& step, const Conditioning& conditioning, WithGradient with_gradient);

/// d sum(value_B) / d x: samples are apart, so that each row is the gradient of its own value.
struct RewardSlope {
  at::Tensor slope_BCFHW;  // 0 for samples that are not scored or whose gradient is not finite
  at::Tensor used_B;       // the others, bool, where x is
};
RewardSlope slope_of_reward(const at::Tensor& value_B, const at::Tensor& x_BCFHW, bool keep_graph = false);
/// Its numbers alone.
at::Tensor reward_slope(const at::Tensor& value_B, const at::Tensor& x_BCFHW, bool keep_graph = false);

}  // namespace thalweg
