#include "samplers/transitions.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "engine/core/rng.h"
#include "samplers/cuda/fused_transition.h"

namespace thalweg {
Step step_of(const Kernel& kernel, const Schedule& schedule, int64_t index,
             const std::vector<int64_t>& slot_B, at::Device device) {
  auto step = step_at(schedule, index, slot_B, device);
  step.kernel = kernel(schedule, index);
  return step;
}

at::Tensor transition_noise(uint64_t seed, const std::vector<int64_t>& slot_B, const at::Tensor& x,
                            const Step& step) {
  if (step.kernel.std == 0.0) return {};
  return normal_noise(seed, Purpose::transition, slot_B, static_cast<uint64_t>(step.index),
                      x.sizes().slice(1), x.scalar_type(), x.device());
}

at::Tensor transition_noise(const SamplerInput& in, const at::Tensor& x, const Step& step) {
  return transition_noise(in.seed, in.slot_B, x, step);
}

DrawnState drawn_state(const at::Tensor& x, const at::Tensor& v, const at::Tensor& noise,
                       const KernelStep& step, LogProb form) {
  const bool needs_graph = c10::GradMode::is_enabled() && (x.requires_grad() || v.requires_grad());
  if (cuda::fuses(x.device(), x.scalar_type(), needs_graph)) {
    const auto fused = cuda::fused_transition(x, v, noise, step, (form ? form : gaussian)(step.std));
    return {fused.next_BCFHW, fused.log_prob_B};
  }
  const auto there = transition(x, v, step);
  const auto next = at::add(there.mean_BCFHW, noise, there.std);
  return {next, form ? log_prob(next, there, form) : at::Tensor()};
}

at::Tensor next_latents(const at::Tensor& x, const at::Tensor& v, const at::Tensor& noise,
                        const KernelStep& step) {
  if (step.std == 0.0) return transition(x, v, step).mean_BCFHW;
  return drawn_state(x, v, noise, step, nullptr).next_BCFHW;
}

Trajectory sample_transitions(const SamplerInput& in, const Kernel& kernel,
                              const std::vector<int64_t>& trained_steps, LogProb form) {
  Trajectory trajectory{in.schedule, {}, trained_steps, {}, {}, {}};
  std::vector<at::Tensor> log_probs;
  auto x = in.x_BCFHW;
  for (int64_t i = 0; i < in.schedule.steps(); ++i) {
    const auto step = step_of(kernel, in.schedule, i, in.slot_B, x.device());
    const bool trained = std::binary_search(trained_steps.begin(), trained_steps.end(), i);
    TORCH_CHECK(!trained || step.kernel.std > 0.0, "step ", i, " draws no noise: it has no log-probability");
    const auto v = in.velocity(x, step, in.conditioning);
    if (step.kernel.std == 0.0) {
      x = transition(x, v, step.kernel).mean_BCFHW;
      continue;
    }
    const auto drawn =
        drawn_state(x, v, transition_noise(in, x, step), step.kernel, trained ? form : nullptr);
    if (trained) {
      trajectory.latents.push_back(x);
      trajectory.next_latents.push_back(drawn.next_BCFHW);
      log_probs.push_back(drawn.log_prob_B);
    }
    x = drawn.next_BCFHW;
  }
  trajectory.x0_BCFHW = x;
  if (!log_probs.empty()) trajectory.log_probs_TB = at::stack(log_probs);
  return trajectory;
}

}  // namespace thalweg
