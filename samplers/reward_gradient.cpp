#include "samplers/reward_gradient.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "samplers/flow_algebra.h"

namespace thalweg {

Lookahead look_ahead(const Velocity& velocity, const RewardValue& reward, const at::Tensor& x,
                     const Step& step, const Conditioning& conditioning, WithGradient with_gradient) {
  const bool with = with_gradient == WithGradient::yes;
  const at::AutoGradMode mode(with);
  const auto leaf = with ? x.detach().requires_grad_() : x;
  const auto v = velocity(leaf, step, conditioning);
  const auto x0 = clean_estimate(leaf, v, step);
  const auto value_B = reward(x0, clean_step(step), conditioning);
  Lookahead ahead{v.detach(), x0.detach(), value_B.detach(), {}};
  if (!with) return ahead;
  TORCH_CHECK(value_B.requires_grad(), "the reward has no gradients");
  // Rows are apart: what is not a number in one row does not reach another.
  const auto gradient = torch::autograd::grad({value_B.sum()}, {leaf})[0];
  const auto used_B =
      at::logical_and(gradient.isfinite().flatten(1).all(1), value_B.isfinite().to(gradient.device()));
  ahead.gradient_BCFHW = at::where(used_B.view({-1, 1, 1, 1, 1}), gradient, 0.0);
  return ahead;
}

}  // namespace thalweg
