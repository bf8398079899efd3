#include "samplers/kernel.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace thalweg {

KernelStep euler(const Schedule& schedule, int64_t index) {
  const auto i = static_cast<size_t>(index);
  return {1.0, schedule.sigmas.at(i + 1) - schedule.sigmas.at(i), 0.0};
}

Transition transition(const at::Tensor& x, const at::Tensor& v, const KernelStep& step) {
  return {at::add(step.x_scale == 1.0 ? x : x * step.x_scale, v, step.v_scale), step.std};
}

at::Tensor gaussian_log_prob(const at::Tensor& next, const Transition& transition) {
  TORCH_CHECK(transition.std > 0.0, "a step without noise has no log-probability");
  const double constant = -std::log(transition.std) - 0.5 * std::log(2.0 * std::numbers::pi);
  const auto error = (next.detach() - transition.mean_BCFHW).square().flatten(1).mean(1);
  return error * (-0.5 / (transition.std * transition.std)) + constant;
}

}  // namespace thalweg
