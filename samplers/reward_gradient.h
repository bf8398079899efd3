// A reward of the clean estimate, and its gradient with respect to the noisy latents: through the reward and
// through the velocity, which is asked once for the step and for the look ahead.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

enum class WithGradient { no, yes };

/// What one call of the velocity at x_t says. Nothing here is part of a graph.
struct Lookahead {
  at::Tensor v_BCFHW, x0_BCFHW;  // the velocity, and the clean estimate x - t v
  at::Tensor value_B;            // float64 on the CPU: r(x0_BCFHW); NaN: not scored
  at::Tensor gradient_BCFHW;     // d value_B / d x; 0 for samples not scored or whose gradient is not finite
};

/// r(x0hat(x)). The gradient is undefined unless it is asked for; then the velocity must be differentiable
/// in x and the reward in x0 (a reward that is not trips TORCH_CHECK).
Lookahead look_ahead(const Velocity& velocity, const RewardValue& reward, const at::Tensor& x_BCFHW,
                     const Step& step, const Conditioning& conditioning, WithGradient with_gradient);

}  // namespace thalweg
