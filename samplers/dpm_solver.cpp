#include "samplers/dpm_solver.h"

#include <ATen/ATen.h>

#include <cmath>

#include "samplers/flow_algebra.h"

namespace thalweg {
namespace {

// Half the logarithm of the signal-to-noise ratio: -inf at s = 1, +inf at s = 0.
double lambda(double s) {
  return std::log((1.0 - s) / s);
}

at::Tensor towards(const at::Tensor& x, const at::Tensor& clean, double s, double next) {
  return at::add(x * (next / s), clean, 1.0 - next / s);
}

}  // namespace

at::Tensor dpmpp_2m_from(const SamplerInput& in, at::Tensor x, int64_t begin) {
  at::Tensor last_clean;
  double last_h = INFINITY;
  for (int64_t i = begin; i < in.schedule.steps(); ++i) {
    const auto k = static_cast<size_t>(i);
    const double s = in.schedule.sigmas[k], next = in.schedule.sigmas[k + 1];
    const auto step = step_at(in.schedule, i, in.slot_B, x.device());
    const auto clean = clean_estimate(x, in.velocity(x, step, in.conditioning), step);
    const double h = lambda(next) - lambda(s);
    const bool second_order = std::isfinite(h) && std::isfinite(last_h);
    x = towards(x, second_order ? at::add(clean, clean - last_clean, h / (2.0 * last_h)) : clean, s, next);
    last_clean = clean;
    last_h = h;
  }
  return x;
}

at::Tensor sample_dpmpp_2m(const SamplerInput& in) {
  return dpmpp_2m_from(in, in.x_BCFHW, 0);
}

at::Tensor sample_dpmpp_2s(const SamplerInput& in) {
  auto x = in.x_BCFHW;
  for (int64_t i = 0; i < in.schedule.steps(); ++i) {
    const auto k = static_cast<size_t>(i);
    const double s = in.schedule.sigmas[k], next = in.schedule.sigmas[k + 1];
    auto step = step_at(in.schedule, i, in.slot_B, x.device());
    auto clean = clean_estimate(x, in.velocity(x, step, in.conditioning), step);
    const double half = 0.5 * (lambda(s) + lambda(next));
    if (std::isfinite(half)) {
      const double middle = 1.0 / (1.0 + std::exp(half));
      const auto there = towards(x, clean, s, middle);
      step.sigma_B = at::full_like(step.sigma_B, middle);
      step.kernel = {1.0, next - middle, 0.0};
      clean = clean_estimate(there, in.velocity(there, step, in.conditioning), step);
    }
    x = towards(x, clean, s, next);
  }
  return x;
}

}  // namespace thalweg
