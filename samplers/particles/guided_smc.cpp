#include "samplers/particles/guided_smc.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "samplers/particles/outlook.h"
#include "samplers/transitions.h"

namespace thalweg {

Trajectory sample_guided_smc(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
                             const GuidedSmcOptions& o) {
  const c10::NoGradGuard no_grad;
  const auto outlook = outlook_named(o.value);
  const int64_t steps = in.schedule.steps();
  Particles particles(in, o.particles);
  auto x = in.x_BCFHW;
  at::Tensor reward_B;
  auto behind_B = at::zeros({x.size(0)}, at::kDouble);  // U / lambda that the next state's is weighed against
  auto step = step_of(kernel, in.schedule, 0, in.slot_B, x.device());
  for (int64_t i = 0; i < steps; ++i) {
    const bool last = i + 1 == steps;
    const auto next_step = last ? step : step_of(kernel, in.schedule, i + 1, in.slot_B, x.device());
    const auto noise = transition_noise(in, x, step);
    if (i < o.begin) {
      const auto v = in.velocity(x, step, in.conditioning);
      particles.resample(i);
      x = next_latents(x, v, noise, step.kernel);
      step = next_step;
      continue;
    }
    const double shift = 0.5 * o.lambda * step.kernel.std * step.kernel.std;
    const auto state = outlook.at_state(in.velocity, reward, x, step, in.conditioning,
                                        shift > 0.0 ? WithGradient::yes : WithGradient::no);
    if (behind_B.defined()) particles.weigh(o.lambda * (state.value_B - behind_B));
    const auto rows = particles.resample(i);
    x = gathered(x, rows);
    const auto v = gathered(state.v_BCFHW, rows);
    behind_B = gathered(state.value_B, rows);
    if (last || step.kernel.std > 0.0) {
      // U_t'(x - (t - t') v): where the ODE leads. A step without noise leads there itself.
      const auto led = transition(x, v, euler(in.schedule, i)).mean_BCFHW;
      const auto value_B = last ? final_rewards(reward, led, step, in.conditioning)
                                : outlook.value(in.velocity, reward, led, next_step, in.conditioning).value_B;
      particles.weigh(o.lambda * (value_B - behind_B));
      behind_B.reset();
      if (last) reward_B = value_B;
    }
    const auto guided = shift > 0.0 ? pushed(v, gathered(state.gradient_BCFHW, rows), shift, step.kernel) : v;
    x = next_latents(x, guided, noise, step.kernel);
    if (last && step.kernel.std > 0.0) reward_B = final_rewards(reward, x, step, in.conditioning);
    step = next_step;
  }
  Trajectory trajectory;
  trajectory.schedule = in.schedule;
  trajectory.x0_BCFHW = x;
  trajectory.particles = particles.finish(at::zeros_like(reward_B), reward_B);
  return trajectory;
}

}  // namespace thalweg
