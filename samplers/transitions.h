// The sampler of every one-step kernel: x' = x_scale x + v_scale v + std e, step by step.
#pragma once

#include "samplers/kernel.h"
#include "samplers/sampler.h"

namespace thalweg {

/// The step `index` as the sampler of `kernel` asks for its velocity.
Step step_of(const Kernel& kernel, const Schedule& schedule, int64_t index,
             const std::vector<int64_t>& slot_B, at::Device device = at::kCPU);

/// The noise that a sampler draws in this step, by slot; undefined for a step without noise.
at::Tensor transition_noise(const SamplerInput& input, const at::Tensor& x_BCFHW, const Step& step);
at::Tensor transition_noise(uint64_t seed, const std::vector<int64_t>& slot_B, const at::Tensor& x_BCFHW,
                            const Step& step);

struct DrawnState {
  at::Tensor next_BCFHW, log_prob_B;
};

/// mean + std noise, of a step with noise, and its log-probability where `form` is given. One kernel on a
/// GPU.
DrawnState drawn_state(const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW, const at::Tensor& noise_BCFHW,
                       const KernelStep& step, LogProb form);

/// mean + std noise; the mean alone for a step without noise, where `noise` may be undefined.
at::Tensor next_latents(const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW, const at::Tensor& noise_BCFHW,
                        const KernelStep& step);

/// Samples with `kernel`; keeps latents and log-probs (`form`) of `trained_steps` (ascending; each must draw
/// noise).
Trajectory sample_transitions(const SamplerInput& input, const Kernel& kernel,
                              const std::vector<int64_t>& trained_steps = {}, LogProb form = gaussian);

}  // namespace thalweg
