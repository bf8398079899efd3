#include "samplers/particles/das.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "samplers/particles/outlook.h"
#include "samplers/transitions.h"

namespace thalweg {
namespace {

// log p(x'|x) - log q(x'|x) for q = p with its mean moved by std^2 g, at x' = mean + std^2 g + std noise:
// -std noise.g - std^2 g.g / 2.
at::Tensor log_ratio(const at::Tensor& noise, const at::Tensor& g, double std) {
  const auto along = at::add(noise, g, 0.5 * std) * g;
  return along.flatten(1).sum(1, false, at::kDouble).cpu() * -std;
}

}  // namespace

double das_tempering(int64_t steps) {
  return std::exp2(8.0 / (7.0 * static_cast<double>(steps))) - 1.0;
}

double das_scale(double gamma, int64_t index) {
  return std::min(std::pow(1.0 + gamma, static_cast<double>(index)) - 1.0, 1.0);
}

Trajectory sample_das(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
                      const DasOptions& o) {
  const c10::NoGradGuard no_grad;
  const auto outlook = outlook_named(o.value);
  const double gamma = o.tempering > 0.0 ? o.tempering : das_tempering(in.schedule.steps());
  Particles particles(in, o.particles);
  auto x = in.x_BCFHW;
  auto twist_B = at::zeros({x.size(0)}, at::kDouble);
  Step step;
  for (int64_t i = 0; i < in.schedule.steps(); ++i) {
    step = step_of(kernel, in.schedule, i, in.slot_B, x.device());
    const double std = step.kernel.std;
    const auto with_gradient = std > 0.0 && o.lambda > 0.0 ? WithGradient::yes : WithGradient::no;
    const auto state = outlook.at_state(in.velocity, reward, x, step, in.conditioning, with_gradient);
    const auto twist_now_B = state.value_B * (o.lambda * das_scale(gamma, i));
    particles.weigh(twist_now_B - twist_B);
    // What was not scored keeps its twist: any twist is exact, as long as the weights know it.
    twist_B = at::where(twist_now_B.isfinite(), twist_now_B, twist_B);
    const auto rows = particles.resample(i);
    twist_B = gathered(twist_B, rows);
    const auto noise = transition_noise(in, x, step);
    auto v = gathered(state.v_BCFHW, rows);
    if (with_gradient == WithGradient::yes) {
      const auto g = gathered(state.gradient_BCFHW, rows) * (o.lambda * das_scale(gamma, i + 1));
      v = pushed(v, g, std * std, step.kernel);
      particles.weigh(log_ratio(noise, g, std));
    }
    x = next_latents(gathered(x, rows), v, noise, step.kernel);
  }
  const auto reward_B = final_rewards(reward, x, step, in.conditioning);
  Trajectory trajectory;
  trajectory.schedule = in.schedule;
  trajectory.x0_BCFHW = x;
  trajectory.particles = particles.finish(o.lambda * reward_B - twist_B, reward_B);
  return trajectory;
}

}  // namespace thalweg
