#include "samplers/guidance/tilt.h"

#include <ATen/ATen.h>

#include "samplers/flow_algebra.h"
#include "samplers/window.h"

namespace thalweg {

Guidance tilted(RewardGradient gradient, TiltOptions o) {
  return [gradient = std::move(gradient), o](Velocity velocity) -> Velocity {
    if (o.lambda == 0.0) return velocity;
    return [velocity = std::move(velocity), gradient, o](const at::Tensor& x, const Step& step,
                                                         const Conditioning& c) {
      if (!StepWindow::of(o.window_begin, o.window_size).contains(step.index)) return velocity(x, step, c);
      const auto guided_B = at::logical_and(step.sigma_B < 1.0, step.sigma_B <= o.max_sigma);
      if (!guided_B.any().item<bool>()) return velocity(x, step, c);
      const auto ahead = gradient(velocity, x, step, c);
      const auto g = at::where(guided_B.view({-1, 1, 1, 1, 1}), ahead.gradient_BCFHW, 0.0);
      return guided(ahead.v_BCFHW, g * o.lambda, step);
    };
  };
}

}  // namespace thalweg
