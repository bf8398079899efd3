#include "samplers/particles/step.h"

#include <ATen/ATen.h>

#include "engine/core/rng.h"

namespace thalweg {

Step step_of(const Kernel& kernel, const Schedule& schedule, int64_t index,
             const std::vector<int64_t>& slot_B, at::Device device) {
  auto step = step_at(schedule, index, slot_B, device);
  step.kernel = kernel(schedule, index);
  return step;
}

at::Tensor next_latents(const at::Tensor& x, const at::Tensor& v, const at::Tensor& noise,
                        const KernelStep& step) {
  const auto mean = transition(x, v, step).mean_BCFHW;
  return step.std == 0.0 ? mean : at::add(mean, noise, step.std);
}

at::Tensor transition_noise(const SamplerInput& in, const at::Tensor& x, const Step& step) {
  if (step.kernel.std == 0.0) return {};
  return normal_noise(in.seed, Purpose::transition, in.slot_B, static_cast<uint64_t>(step.index),
                      x.sizes().slice(1), x.scalar_type(), x.device());
}

at::Tensor pushed(const at::Tensor& v, const at::Tensor& g, double shift, const KernelStep& step) {
  return at::add(v, g, shift / step.v_scale);
}

}  // namespace thalweg
