#include "samplers/reward_gradient.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "samplers/flow_algebra.h"

namespace thalweg {
namespace {

// Whether x is part of a graph that someone outside differentiates: then v stays in it.
bool in_graph(const at::Tensor& x) {
  return c10::GradMode::is_enabled() && x.requires_grad();
}

}  // namespace

RewardSlope slope_of_reward(const at::Tensor& value_B, const at::Tensor& x, bool keep_graph) {
  TORCH_CHECK(value_B.requires_grad(), "the reward has no gradients");
  // Rows are apart: what is not a number in one row does not reach another.
  const auto gradient = torch::autograd::grad({value_B.sum()}, {x}, {}, keep_graph)[0];
  const auto used_B =
      at::logical_and(gradient.isfinite().flatten(1).all(1), value_B.isfinite().to(gradient.device()));
  return {at::where(used_B.view({-1, 1, 1, 1, 1}), gradient, 0.0), used_B};
}

at::Tensor reward_slope(const at::Tensor& value_B, const at::Tensor& x, bool keep_graph) {
  return slope_of_reward(value_B, x, keep_graph).slope_BCFHW;
}

Lookahead look_ahead(const Velocity& velocity, const RewardValue& reward, const at::Tensor& x,
                     const Step& step, const Conditioning& conditioning, WithGradient with_gradient) {
  const bool with = with_gradient == WithGradient::yes, kept = with && in_graph(x);
  const c10::AutoGradMode mode(with);
  const auto leaf = with && !kept ? x.detach().requires_grad_() : x;
  const auto v = velocity(leaf, step, conditioning);
  const auto x0 = clean_estimate(leaf, v, step);
  const auto value_B = reward(x0, clean_step(step), conditioning);
  const auto gradient = with ? reward_slope(value_B, leaf, kept) : at::Tensor();
  return {kept ? v : v.detach(), x0.detach(), value_B.detach(), gradient};
}

Lookahead look_at(const Velocity& velocity, const RewardValue& reward, const at::Tensor& x, const Step& step,
                  const Conditioning& conditioning, WithGradient with_gradient) {
  const bool with = with_gradient == WithGradient::yes;
  at::Tensor v;
  {
    const c10::AutoGradMode mode(with && in_graph(x));
    v = velocity(x, step, conditioning);
  }
  const c10::AutoGradMode mode(with);
  const auto leaf = with ? x.detach().requires_grad_() : x;
  const auto value_B = reward(leaf, step, conditioning);
  const auto x0 = clean_estimate(x, v, step).detach();
  return {v, x0, value_B.detach(), with ? reward_slope(value_B, leaf) : at::Tensor()};
}

}  // namespace thalweg
