#include "samplers/flow_ode.h"

#include <ATen/ATen.h>

namespace thalweg {

at::Tensor euler_step(const at::Tensor& x, const at::Tensor& v, double sigma, double next_sigma) {
  return at::add(x, v, next_sigma - sigma);
}

at::Tensor sample_flow_ode(const SamplerInput& in) {
  auto x = in.x_BCFHW;
  for (int64_t i = 0; i < in.schedule.steps(); ++i) {
    const auto v = in.velocity(x, step_at(in.schedule, i, in.slot_B, x.device()), in.conditioning);
    x = euler_step(x, v, in.schedule.sigmas[i], in.schedule.sigmas[i + 1]);
  }
  return x;
}

}  // namespace thalweg
