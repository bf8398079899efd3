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
      : reward(std::move(r)), input(std::move(i)), report(std::move(f)) {
    const auto of = reward->info().gradient_of;
    if (includes_frames(of)) frames = std::exchange(input.frames_BF3HW, {});
    if (includes_latents(of)) latents = std::exchange(input.latents_BCFHW, {});
    of_frames = frames.defined();
    of_latents = latents.defined();
    if (!of_frames && !of_latents) throw Error("", "the input that the reward differentiates is absent");
  }

  /// The input with what autograd hands over.
  ScoreInput with(const at::Tensor& x_frames, const at::Tensor& x_latents) const {
    auto whole = input;
    if (of_frames) whole.frames_BF3HW = x_frames;
    if (of_latents) whole.latents_BCFHW = x_latents;
    return whole;
  }
  /// Takes out what is differentiated: kept here it would make a cycle. An input of the node must be a
  /// tensor, so there is an empty one where it is not differentiated.
  at::Tensor take_frames() { return of_frames ? std::exchange(frames, {}) : at::empty({0}); }
  at::Tensor take_latents() { return of_latents ? std::exchange(latents, {}) : at::empty({0}); }

  std::shared_ptr<Reward> reward;
  ScoreInput input;  // without what is differentiated
  FailureReport report;
  at::Tensor frames, latents;
  bool of_frames = false, of_latents = false;
};

struct RewardFunction : torch::autograd::Function<RewardFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& frames, const at::Tensor& latents,
                            const c10::intrusive_ptr<Call>& call) {
    const auto scored = call->reward->score(call->with(frames, latents));
    if (!scored.failures.empty()) call->report(scored.failures);
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    ctx->save_for_backward({frames, latents, scored.values_BK.isfinite()});
    return scored.values_BK;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    if (at::GradMode::is_enabled())
      throw Error("", "a reward has first derivatives only: do not differentiate its gradient");
    const auto saved = ctx->get_saved_variables();
    const auto call = c10::static_intrusive_pointer_cast<Call>(ctx->saved_data["call"].toCapsule());
    const auto cotangent_BK = at::where(saved[2], gradients[0], at::zeros_like(gradients[0]));
    const auto result = call->reward->gradient(call->with(saved[0], saved[1]), cotangent_BK);
    if (!result.failures.empty()) call->report(result.failures);
    const auto back = [](bool wanted, const at::Tensor& gradient, const at::Tensor& x) {
      return wanted ? gradient.to(x.options()) : at::Tensor();
    };
    return {back(call->of_frames, result.frames_BF3HW, saved[0]),
            back(call->of_latents, result.latents_BCFHW, saved[1]), at::Tensor()};
  }
};

}  // namespace

at::Tensor differentiable_score(const std::shared_ptr<Reward>& reward, const ScoreInput& input,
                                const FailureReport& report) {
  if (reward->info().gradient_of == GradientOf::none)
    throw Error("", "this reward has no gradient; use one that has, or a method that needs none");
  const auto call = c10::make_intrusive<Call>(reward, input, report);
  const auto frames = call->take_frames(), latents = call->take_latents();
  return RewardFunction::apply(frames, latents, call);
}

}  // namespace thalweg
