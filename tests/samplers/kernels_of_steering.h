// The kernels, and the sampler that steering must equal where it does nothing.
#pragma once

#include "samplers/particles/step.h"
#include "tests/samplers/kernels.h"

namespace thalweg {

inline at::Tensor base_samples(const SamplerInput& in, const Kernel& kernel) {
  auto x = in.x_BCFHW;
  for (int64_t i = 0; i < in.schedule.steps(); ++i) {
    const auto step = step_of(kernel, in.schedule, i, in.slot_B, x.device());
    x = next_latents(x, in.velocity(x, step, in.conditioning), transition_noise(in, x, step), step.kernel);
  }
  return x;
}

}  // namespace thalweg
