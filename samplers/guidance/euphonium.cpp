#include "samplers/guidance/euphonium.h"

#include <ATen/ATen.h>

#include "samplers/flow_algebra.h"
#include "samplers/window.h"

namespace thalweg {
namespace {

at::Tensor unit_length(const at::Tensor& g) {
  return g / (g.flatten(1).norm(2, 1).view({-1, 1, 1, 1, 1}) + 1e-8);
}

// c D of each sample. With c = eta^2 / (2 beta) it is std^2 / (2 beta).
at::Tensor shift(const Step& step, const EuphoniumOptions& o) {
  if (o.beta > 0.0) return at::full_like(step.sigma_B, step.kernel.std * step.kernel.std / (2.0 * o.beta));
  return (step.sigma_B - step.next_sigma_B) * o.guidance_scale;
}

}  // namespace

Guidance euphonium(RewardGradient gradient, EuphoniumOptions o) {
  return [gradient = std::move(gradient), o](Velocity velocity) -> Velocity {
    if (o.guidance_scale == 0.0 && o.beta == 0.0) return velocity;
    return [velocity = std::move(velocity), gradient, o](const at::Tensor& x, const Step& step,
                                                         const Conditioning& c) {
      const bool moves = o.beta == 0.0 || step.kernel.std > 0.0;
      if (!moves || !StepWindow::of(o.window_begin, o.window_size).contains(step.index))
        return velocity(x, step, c);
      const auto ahead = gradient(velocity, x, step, c);
      const auto g = o.normalize ? unit_length(ahead.gradient_BCFHW) : ahead.gradient_BCFHW;
      return at::addcmul(ahead.v_BCFHW, g, per_sample(shift(step, o) / step.kernel.v_scale, x));
    };
  };
}

}  // namespace thalweg
