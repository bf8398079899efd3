#include "samplers/kernel.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace thalweg {
namespace {

struct Levels {
  double from, to;
};

Levels levels(const Schedule& schedule, int64_t index) {
  const auto i = static_cast<size_t>(index);
  return {schedule.sigmas.at(i), schedule.sigmas.at(i + 1)};
}

}  // namespace

KernelStep euler(const Schedule& schedule, int64_t index) {
  const auto [s, next] = levels(schedule, index);
  return {1.0, next - s, 0.0};
}

KernelStep reverse_sde(const Schedule& schedule, int64_t index, double g) {
  const auto [s, next] = levels(schedule, index);
  const double dt = next - s;
  const double drift = g * g / (2.0 * s);
  return {1.0 + drift * dt, (1.0 + drift * (1.0 - s)) * dt, g * std::sqrt(-dt)};
}

KernelStep renoised(const Schedule& schedule, int64_t index, double std) {
  if (std == 0.0) return euler(schedule, index);  // the same step but for rounding
  const auto [s, next] = levels(schedule, index);
  TORCH_CHECK(std <= next, "a step to noise level ", next, " cannot draw noise of ", std);
  const double kept = std::sqrt((next - std) * (next + std));
  return {(1.0 - next) + kept, (1.0 - s) * kept - (1.0 - next) * s, std};
}

double diffusion(const KernelStep& step, const Schedule& schedule, int64_t index) {
  const auto [s, next] = levels(schedule, index);
  return step.std / std::sqrt(s - next);
}

Transition transition(const at::Tensor& x, const at::Tensor& v, const KernelStep& step) {
  return {at::add(step.x_scale == 1.0 ? x : x * step.x_scale, v, step.v_scale), step.std};
}

at::Tensor pushed(const at::Tensor& v, const at::Tensor& g, double shift, const KernelStep& step) {
  return at::add(v, g, shift / step.v_scale);
}

LogProbForm gaussian(double std) {
  return {0.5 / (std * std), -std::log(std) - 0.5 * std::log(2.0 * std::numbers::pi)};
}

at::Tensor log_prob(const at::Tensor& next, const Transition& transition, LogProb form) {
  TORCH_CHECK(transition.std > 0.0, "a step without noise has no log-probability");
  const auto [weight, offset] = form(transition.std);
  const auto error = (next.detach() - transition.mean_BCFHW).square().flatten(1).mean(1);
  return error * -weight + offset;
}

}  // namespace thalweg
