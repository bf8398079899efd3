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
  std::shared_ptr<RewardModel> model;
  ScoreInput input;  // without the differentiated tensor, which would make a cycle
};

at::Tensor& differentiated(const RewardModel& model, ScoreInput& input) {
  return model.gradient_is_of_latents() ? input.latents_BCFHW : input.frames_BF3HW;
}

struct RewardFunction : torch::autograd::Function<RewardFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x,
                            const std::shared_ptr<RewardModel>& model, ScoreInput input) {
    differentiated(*model, input) = x;
    const auto values_BK = model->score(input);
    auto call = c10::make_intrusive<Call>();
    call->model = model;
    call->input = std::move(input);
    differentiated(*model, call->input) = at::Tensor();
    ctx->saved_data["call"] = c10::IValue::make_capsule(std::move(call));
    ctx->save_for_backward({x, values_BK.isfinite()});
    return values_BK;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    if (at::GradMode::is_enabled())
      throw Error("", "a reward has first derivatives only: do not differentiate its gradient");
    const auto saved = ctx->get_saved_variables();
    const auto call = c10::static_intrusive_pointer_cast<Call>(ctx->saved_data["call"].toCapsule());
    ScoreInput input = call->input;
    differentiated(*call->model, input) = saved[0];
    const auto cotangent_BK = at::where(saved[1], gradients[0], at::zeros_like(gradients[0]));
    const auto gradient = call->model->gradient(input, cotangent_BK);
    return {gradient.nan_to_num(0.0).to(saved[0].options()), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor differentiable_score(const std::shared_ptr<RewardModel>& model, const ScoreInput& input) {
  if (!model->has_gradient())
    throw Error("", "this reward has no gradient; use one that has, or a method that needs none");
  ScoreInput rest = input;
  const at::Tensor x = differentiated(*model, rest);
  if (!x.defined()) throw Error("", "the input that the reward differentiates is absent");
  differentiated(*model, rest) = at::Tensor();
  return RewardFunction::apply(x, model, std::move(rest));
}

}  // namespace thalweg
