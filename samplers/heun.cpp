#include "samplers/heun.h"

#include <ATen/ATen.h>

namespace thalweg {

at::Tensor sample_heun(const SamplerInput& in) {
  auto x = in.x_BCFHW;
  const int64_t last = in.schedule.steps() - 1;
  for (int64_t i = 0; i <= last; ++i) {
    const auto step = step_at(in.schedule, i, in.slot_B, x.device());
    const double dt = step.kernel.v_scale;
    const auto v = in.velocity(x, step, in.conditioning);
    const auto there = at::add(x, v, dt);
    if (i == last) return there;
    const auto v_there =
        in.velocity(there, step_at(in.schedule, i + 1, in.slot_B, x.device()), in.conditioning);
    x = at::add(x, v + v_there, 0.5 * dt);
  }
  return x;
}

}  // namespace thalweg
