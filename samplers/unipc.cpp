#include "samplers/unipc.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "samplers/flow_algebra.h"

namespace thalweg {
namespace {

// As in diffusers, s = 1 is taken for a level a little below: lambda is infinite there, and the second step
// looks back to it.
constexpr double kHighest = 1.0 - 1e-6;

double lambda(double s) {
  s = std::min(s, kHighest);
  return std::log((1.0 - s) / s);
}

at::Tensor towards(const at::Tensor& x, const at::Tensor& clean, double s, double next) {
  return at::add(x * (next / s), clean, 1.0 - next / s);
}

/// Weights of (D_before - D) / r and of D_next - D in the corrector of a step h, r the way back in units of
/// h; r = 0: there is no step before.
struct Corrector {
  double back, ahead;
};

Corrector corrector(double h, double r) {
  if (r == 0.0) return {0.0, 0.5};
  const double phi_1 = std::expm1(-h);
  const double phi_2 = phi_1 / -h - 1.0, phi_3 = phi_2 / -h - 0.5;
  const double first = phi_2 / phi_1, second = 2.0 * phi_3 / phi_1;
  const double back = (first - second) / (1.0 - r);
  return {back, first - back};
}

}  // namespace

at::Tensor sample_unipc(const SamplerInput& in) {
  const auto& sigmas = in.schedule.sigmas;
  auto x = in.x_BCFHW;
  at::Tensor start, last, before;  // x that the last step began at; D there, and a step earlier
  double last_r = 0.0;             // of the last step, where it was of second order
  for (int64_t i = 0; i < in.schedule.steps(); ++i) {
    const auto k = static_cast<size_t>(i);
    const double s = sigmas[k], next = sigmas[k + 1];
    const auto step = step_at(in.schedule, i, in.slot_B, x.device());
    const auto clean = clean_estimate(x, in.velocity(x, step, in.conditioning), step);
    if (last.defined()) {
      const auto weights = corrector(lambda(s) - lambda(sigmas[k - 1]), last_r);
      auto mean = at::add(last, clean - last, weights.ahead);
      if (before.defined() && last_r != 0.0) mean = at::add(mean, before - last, weights.back / last_r);
      x = towards(start, mean, sigmas[k - 1], s);
    }
    const double h = lambda(next) - lambda(s);
    const bool second_order = last.defined() && i + 1 < in.schedule.steps();
    last_r = second_order ? (lambda(sigmas[k - 1]) - lambda(s)) / h : 0.0;
    start = x;
    x = towards(x, second_order ? at::add(clean, last - clean, 0.5 / last_r) : clean, s, next);
    before = last;
    last = clean;
  }
  return x;
}

}  // namespace thalweg
