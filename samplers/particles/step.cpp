#include "samplers/particles/step.h"

#include <ATen/ATen.h>

namespace thalweg {

at::Tensor next_latents(const at::Tensor& x, const at::Tensor& v, const at::Tensor& noise,
                        const KernelStep& step) {
  const auto mean = transition(x, v, step).mean_BCFHW;
  return step.std == 0.0 ? mean : at::add(mean, noise, step.std);
}

at::Tensor pushed(const at::Tensor& v, const at::Tensor& g, double shift, const KernelStep& step) {
  return at::add(v, g, shift / step.v_scale);
}

}  // namespace thalweg
