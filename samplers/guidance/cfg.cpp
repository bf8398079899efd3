#include "samplers/guidance/cfg.h"

#include <ATen/ATen.h>

namespace thalweg {
namespace {

Step doubled(const Step& step) {
  Step both = step;
  both.sigma_B = at::cat({step.sigma_B, step.sigma_B});
  both.next_sigma_B = at::cat({step.next_sigma_B, step.next_sigma_B});
  both.slot_B.insert(both.slot_B.end(), step.slot_B.begin(), step.slot_B.end());
  return both;
}

}  // namespace

Guidance cfg(double scale, Conditioning unconditional) {
  return [scale, unconditional = std::move(unconditional)](Velocity velocity) -> Velocity {
    if (scale == 1.0) return velocity;
    return [=](const at::Tensor& x_BCFHW, const Step& step, const Conditioning& c) {
      const auto empty = unconditional.repeated(c.batch());
      const auto v = velocity(at::cat({x_BCFHW, x_BCFHW}), doubled(step), concatenate(empty, c)).chunk(2);
      return at::add(v[0], v[1] - v[0], scale);
    };
  };
}

}  // namespace thalweg
