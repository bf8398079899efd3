#include "samplers/reno.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "engine/core/device.h"
#include "samplers/backward.h"
#include "samplers/flow_algebra.h"
#include "samplers/reward_gradient.h"
#include "samplers/transitions.h"

namespace thalweg {
namespace {

// [B,1,1,1,1], in the dtype of x.
at::Tensor norm_of(const at::Tensor& x) {
  return per_sample(x.flatten(1).norm(2, 1), x);
}

double elements_of(const at::Tensor& x) {
  return static_cast<double>(x[0].numel());
}

// A draw from the noise, and its reward's slope there.
struct Picture {
  at::Tensor x0_BCFHW;
  at::Tensor value_B;  // float64 on the CPU
  RewardSlope slope;   // undefined unless asked for
};

// The last step and the reward, in one graph that is gone when this returns; the slope is that at `x`.
Picture last_step(const SamplerInput& in, const at::Tensor& x, const Step& step, const RewardValue& reward,
                  WithGradient with_gradient) {
  const bool with = with_gradient == WithGradient::yes;
  const c10::AutoGradMode mode(with);
  const auto leaf = with ? x.detach().requires_grad_() : x;
  const auto x0 = next_latents(leaf, in.velocity(leaf, step, in.conditioning), {}, step.kernel);
  const auto value_B = reward(x0, finished_step(step), in.conditioning);
  return {x0.detach(), value_B.detach(), with ? slope_of_reward(value_B, leaf) : RewardSlope{}};
}

// The steps before it are walked back one at a time.
Picture picture_of(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
                   WithGradient with_gradient) {
  const int64_t last = in.schedule.steps() - 1;
  const auto walked = walk(in, kernel, 0, last);
  const auto step = step_of(kernel, in.schedule, last, in.slot_B, in.x_BCFHW.device());
  TORCH_CHECK(step.kernel.std == 0.0, "the sampler draws noise");
  auto picture = last_step(in, walked.x0_BCFHW, step, reward, with_gradient);
  if (with_gradient == WithGradient::no) return picture;
  const c10::AutoGradMode mode(true);
  auto& [slope, used_B] = picture.slope;
  slope = lean_adjoint(in.velocity, way_of(walked, kernel, in.slot_B), in.conditioning, slope).a.front();
  used_B = used_B.logical_and(slope.isfinite().flatten(1).all(1));
  return picture;
}

at::Tensor clipped(const at::Tensor& g, double clip) {
  return clip > 0.0 ? g * (clip / norm_of(g).clamp_min(clip)) : g;
}

// Of the pictures drawn so far, [B] and [B,C,F,H,W].
struct Best {
  at::Tensor score_B, x0_BCFHW;

  void see(const at::Tensor& score, const at::Tensor& x0) {
    const auto better_B = score > score_B;  // NaN is not
    score_B = at::where(better_B, score, score_B);
    x0_BCFHW = at::where(on_device(better_B, x0.device()).view({-1, 1, 1, 1, 1}), x0, x0_BCFHW);
  }
};

}  // namespace

const std::vector<std::string>& best_noise_names() {
  static const std::vector<std::string> names = {"reward", "objective"};
  return names;
}

at::Tensor norm_log_density(const at::Tensor& x) {
  const auto norm_B = x.flatten(1).to(at::kDouble).norm(2, 1);
  return (elements_of(x) - 1.0) * norm_B.log() - 0.5 * norm_B.square();
}

at::Tensor norm_log_density_gradient(const at::Tensor& x) {
  return x * ((elements_of(x) - 1.0) / norm_of(x).square() - 1.0);
}

Trajectory sample_reno(const SamplerInput& input, const Kernel& kernel, const RewardValue& reward,
                       const RenoOptions& o) {
  const c10::NoGradGuard no_grad;
  const bool by_objective = o.best == "objective";
  TORCH_CHECK(by_objective || o.best == "reward", "knows no best \"", o.best, "\"");
  auto in = input;
  auto& x = in.x_BCFHW;
  auto momentum = at::zeros_like(x);
  Best best{at::full({x.size(0)}, -INFINITY, at::kDouble), {}};
  for (int64_t i = 0; i < o.iterations; ++i) {
    const bool climbs = i + 1 < o.iterations;
    const auto picture = picture_of(in, kernel, reward, climbs ? WithGradient::yes : WithGradient::no);
    auto score_B = picture.value_B;
    if (by_objective) score_B = score_B + o.regularization * norm_log_density(x).cpu();
    if (i == 0) best.x0_BCFHW = picture.x0_BCFHW;
    best.see(score_B, picture.x0_BCFHW);
    if (!climbs) break;
    const auto g =
        clipped(picture.slope.slope_BCFHW + o.regularization * norm_log_density_gradient(x), o.clip);
    const auto pushed = o.momentum * momentum + g;
    const auto used = picture.slope.used_B.view({-1, 1, 1, 1, 1});
    momentum = at::where(used, pushed, momentum);
    x = at::where(used, x + o.learning_rate * (g + o.momentum * pushed), x);
  }
  Trajectory trajectory;
  trajectory.schedule = in.schedule;
  trajectory.x0_BCFHW = best.x0_BCFHW;
  return trajectory;
}

}  // namespace thalweg
