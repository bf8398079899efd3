#include "samplers/guidance/cfg.h"

#include <ATen/ATen.h>

#include "samplers/window.h"

namespace thalweg {
namespace {

Step doubled(const Step& step) {
  Step both = step;
  both.sigma_B = at::cat({step.sigma_B, step.sigma_B});
  both.next_sigma_B = at::cat({step.next_sigma_B, step.next_sigma_B});
  both.slot_B.insert(both.slot_B.end(), step.slot_B.begin(), step.slot_B.end());
  return both;
}

// `v` with the deviation that `like` has in each sample, mixed with v itself.
at::Tensor rescaled(const at::Tensor& v, const at::Tensor& like, double phi) {
  const auto deviation = [](const at::Tensor& t) { return t.flatten(1).std(1).view({-1, 1, 1, 1, 1}); };
  const auto own = deviation(v);
  // A constant has no deviation, and stays.
  return v * at::where(own > 0.0, deviation(like) / own * phi + (1.0 - phi), 1.0);
}

}  // namespace

Guidance cfg(const CfgOptions& o, Conditioning unconditional) {
  return [o, unconditional = std::move(unconditional)](Velocity velocity) -> Velocity {
    if (o.scale <= 1.0) return velocity;
    return [=](const at::Tensor& x_BCFHW, const Step& step, const Conditioning& c) {
      const bool guided =
          step.index < 0 || StepWindow::of(o.interval_begin, o.interval_size).contains(step.index);
      if (!guided) return velocity(x_BCFHW, step, c);
      const auto empty = unconditional.repeated(c.batch());
      const auto v = velocity(at::cat({x_BCFHW, x_BCFHW}), doubled(step), concatenate(empty, c)).chunk(2);
      const auto mixed = at::add(v[0], v[1] - v[0], o.scale);
      return o.rescale == 0.0 ? mixed : rescaled(mixed, v[1], o.rescale);
    };
  };
}

Guidance cfg(double scale, Conditioning unconditional) {
  return cfg(CfgOptions{scale}, std::move(unconditional));
}

}  // namespace thalweg
