#include "rewards/differentiable.h"

#include <torch/csrc/autograd/custom_function.h>

#include <utility>

#include "engine/core/error.h"

namespace thalweg {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// What backward needs beside the tensors that autograd itself keeps.
struct Call : torch::CustomClassHolder {
  Call(std::shared_ptr<Reward> r, ScoreInput i, FailureReport f)
      : reward(std::move(r)), input(std::move(i)), report(std::move(f)) {}

  std::shared_ptr<Reward> reward;
  ScoreInput input;  // without the differentiated tensor, which would make a cycle
  FailureReport report;
};

at::Tensor& differentiated(const Reward& reward, ScoreInput& input) {
  return reward.info().gradient_of == GradientOf::latents ? input.latents_BCFHW : input.frames_BF3HW;
}

struct RewardFunction : torch::autograd::Function<RewardFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const c10::intrusive_ptr<Call>& call) {
    ScoreInput input = call->input;
    differentiated(*call->reward, input) = x;
    const auto scored = call->reward->score(input);
    if (!scored.failures.empty()) call->report(scored.failures);
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    ctx->save_for_backward({x, scored.values_BK.isfinite()});
    return scored.values_BK;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    if (at::GradMode::is_enabled())
      throw Error("", "a reward has first derivatives only: do not differentiate its gradient");
    const auto saved = ctx->get_saved_variables();
    const auto call = c10::static_intrusive_pointer_cast<Call>(ctx->saved_data["call"].toCapsule());
    ScoreInput input = call->input;
    differentiated(*call->reward, input) = saved[0];
    const auto cotangent_BK = at::where(saved[1], gradients[0], at::zeros_like(gradients[0]));
    const auto result = call->reward->gradient(input, cotangent_BK);
    if (!result.failures.empty()) call->report(result.failures);
    return {result.gradient.nan_to_num(0.0).to(saved[0].options()), at::Tensor()};
  }
};

}  // namespace

at::Tensor differentiable_score(const std::shared_ptr<Reward>& reward, const ScoreInput& input,
                                const FailureReport& report) {
  if (reward->info().gradient_of == GradientOf::none)
    throw Error("", "this reward has no gradient; use one that has, or a method that needs none");
  ScoreInput rest = input;
  const at::Tensor x = differentiated(*reward, rest);
  if (!x.defined()) throw Error("", "the input that the reward differentiates is absent");
  differentiated(*reward, rest) = at::Tensor();
  return RewardFunction::apply(x, c10::make_intrusive<Call>(reward, std::move(rest), report));
}

}  // namespace thalweg
