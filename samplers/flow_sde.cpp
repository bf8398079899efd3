#include "samplers/flow_sde.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/core/rng.h"
#include "samplers/cuda/fused_flow_sde.h"
#include "samplers/flow_ode.h"

namespace thalweg {
namespace {

struct DrawnStep {
  at::Tensor next_BCFHW, log_prob_B;  // the latter only where it is asked for
};

// mean + std * noise, and how likely that was. One kernel on a GPU.
DrawnStep draw(const at::Tensor& x, const at::Tensor& v, const at::Tensor& noise, const Schedule& schedule,
               int64_t index, double noise_level, bool with_log_prob) {
  if (x.is_cuda() && x.scalar_type() == at::kFloat) {
    const auto i = static_cast<size_t>(index);
    const auto fused = cuda::fused_flow_sde(x, v, noise, schedule.sigmas.at(i), schedule.sigmas.at(i + 1),
                                            flow_sde_diffusion(schedule, index, noise_level));
    return {fused.next_BCFHW, fused.log_prob_B};
  }
  const auto transition = flow_sde_transition(x, v, schedule, index, noise_level);
  const auto next = at::add(transition.mean_BCFHW, noise, transition.std);
  return {next, with_log_prob ? gaussian_log_prob(next, transition) : at::Tensor()};
}

}  // namespace

double flow_sde_diffusion(const Schedule& schedule, int64_t index, double noise_level) {
  const auto i = static_cast<size_t>(index);
  const double s = schedule.sigmas.at(i);
  const double clamped = index == 0 ? schedule.sigmas.at(1) : s;
  return noise_level * std::sqrt(s / (1.0 - clamped));
}

Kernel flow_sde(double noise_level) {
  return [noise_level](const Schedule& schedule, int64_t index) -> KernelStep {
    const double s = schedule.sigmas.at(static_cast<size_t>(index));
    const double dt = schedule.sigmas.at(static_cast<size_t>(index) + 1) - s;
    const double g = flow_sde_diffusion(schedule, index, noise_level);
    const double drift = g * g / (2.0 * s);
    return {1.0 + drift * dt, (1.0 + drift * (1.0 - s)) * dt, g * std::sqrt(-dt)};
  };
}

Transition flow_sde_transition(const at::Tensor& x, const at::Tensor& v, const Schedule& schedule,
                               int64_t index, double noise_level) {
  return transition(x, v, flow_sde(noise_level)(schedule, index));
}

Trajectory sample_flow_sde(const SamplerInput& in, double noise_level, StepWindow window,
                           const std::vector<int64_t>& trained_steps) {
  Trajectory trajectory{in.schedule, {}, trained_steps, {}, {}, {}};
  std::vector<at::Tensor> log_probs;
  auto x = in.x_BCFHW;
  for (int64_t i = 0; i < in.schedule.steps(); ++i) {
    const bool noisy = i >= window.begin && i < window.end;
    auto here = step_at(in.schedule, i, in.slot_B, x.device());
    if (noisy) here.kernel = flow_sde(noise_level)(in.schedule, i);
    const auto v = in.velocity(x, here, in.conditioning);
    if (!noisy) {
      x = euler_step(x, v, in.schedule.sigmas[i], in.schedule.sigmas[i + 1]);
      continue;
    }
    const bool trained = std::binary_search(trained_steps.begin(), trained_steps.end(), i);
    const auto noise = normal_noise(in.seed, Purpose::transition, in.slot_B, static_cast<uint64_t>(i),
                                    x.sizes().slice(1), x.scalar_type(), x.device());
    const auto step = draw(x, v, noise, in.schedule, i, noise_level, trained);
    if (trained) {
      trajectory.latents.push_back(x);
      trajectory.next_latents.push_back(step.next_BCFHW);
      log_probs.push_back(step.log_prob_B);
    }
    x = step.next_BCFHW;
  }
  trajectory.x0_BCFHW = x;
  if (!log_probs.empty()) trajectory.log_probs_TB = at::stack(log_probs);
  return trajectory;
}

}  // namespace thalweg
