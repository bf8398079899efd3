#include "samplers/flow_algebra.h"

#include <ATen/ATen.h>

namespace thalweg {

at::Tensor clean_estimate(const at::Tensor& x, const at::Tensor& v, const Step& step) {
  return at::addcmul(x, per_sample(step.sigma_B, x), v, -1.0);
}

at::Tensor noise_estimate(const at::Tensor& x, const at::Tensor& v, const Step& step) {
  return at::addcmul(x, per_sample(1.0 - step.sigma_B, x), v);
}

at::Tensor guided(const at::Tensor& v, const at::Tensor& g, const Step& step) {
  const auto& t_B = step.sigma_B;
  const auto finite_B = g.isfinite().flatten(1).all(1);
  const auto used_B = at::logical_and(finite_B, t_B < 1.0);
  const auto factor_B = at::where(t_B < 1.0, t_B / (1.0 - t_B), 0.0);
  const auto pull = at::where(used_B.view({-1, 1, 1, 1, 1}), g * per_sample(factor_B, g), 0.0);
  return v - pull;
}

Step below_one(const Step& step) {
  Step below = step;
  below.sigma_B = at::where(step.sigma_B < 1.0, step.sigma_B, 0.5 * (step.sigma_B + step.next_sigma_B));
  return below;
}

Step clean_step(const Step& step) {
  Step clean = step;
  clean.sigma_B = clean.next_sigma_B = at::zeros_like(step.sigma_B);
  return clean;
}

Step finished_step(const Step& last) {
  Step finished = clean_step(last);
  finished.index = -1;
  return finished;
}

}  // namespace thalweg
