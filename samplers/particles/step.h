// One step of a batch of particles or candidates.
#pragma once

#include "samplers/kernel.h"
#include "samplers/sampler.h"

namespace thalweg {

/// The step `index` as the sampler of `kernel` asks for its velocity.
Step step_of(const Kernel& kernel, const Schedule& schedule, int64_t index,
             const std::vector<int64_t>& slot_B, at::Device device = at::kCPU);

/// mean + std noise; the mean alone for a step without noise, where `noise` may be undefined.
at::Tensor next_latents(const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW, const at::Tensor& noise_BCFHW,
                        const KernelStep& step);

/// The noise that a sampler draws in this step, by slot; undefined for a step without noise.
at::Tensor transition_noise(const SamplerInput& input, const at::Tensor& x_BCFHW, const Step& step);

/// The velocity with which the mean of the step is `shift` g further.
at::Tensor pushed(const at::Tensor& v_BCFHW, const at::Tensor& g_BCFHW, double shift, const KernelStep& step);

}  // namespace thalweg
