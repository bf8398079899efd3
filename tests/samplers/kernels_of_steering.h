// Kernels for the tests of steering, from their papers' formulas, and the sampler that steering must equal
// where it does nothing.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "samplers/flow_sde.h"
#include "samplers/particles/step.h"

namespace thalweg {

inline Kernel ode() {
  return euler;
}

/// DanceGRPO: g = eta.
inline Kernel dance_sde(double eta) {
  return [eta](const Schedule& schedule, int64_t index) -> KernelStep {
    const double s = schedule.sigmas.at(static_cast<size_t>(index));
    const double dt = schedule.sigmas.at(static_cast<size_t>(index) + 1) - s, drift = eta * eta / (2.0 * s);
    return {1.0 + drift * dt, (1.0 + drift * (1.0 - s)) * dt, eta * std::sqrt(-dt)};
  };
}

/// (1-s') x_0 + sqrt(s'^2 - std^2) e with noise of `std`.
inline KernelStep renoising(const Schedule& schedule, int64_t index, double std) {
  const double s = schedule.sigmas.at(static_cast<size_t>(index));
  const double next = schedule.sigmas.at(static_cast<size_t>(index) + 1);
  const double kept = std::sqrt(next * next - std * std);
  return {(1.0 - next) + kept, (1.0 - s) * kept - (1.0 - next) * s, std};
}

/// Flow-CPS.
inline Kernel cps(double eta) {
  return [eta](const Schedule& schedule, int64_t index) {
    return renoising(
        schedule, index,
        schedule.sigmas.at(static_cast<size_t>(index) + 1) * std::sin(eta * std::numbers::pi / 2.0));
  };
}

/// The ancestral kernel.
inline Kernel memoryless() {
  return [](const Schedule& schedule, int64_t index) {
    const double s = schedule.sigmas.at(static_cast<size_t>(index));
    const double next = schedule.sigmas.at(static_cast<size_t>(index) + 1);
    const double r = (1.0 - s) / (1.0 - next) * next / s;
    return renoising(schedule, index, next * std::sqrt(1.0 - r * r));
  };
}

inline at::Tensor base_samples(const SamplerInput& in, const Kernel& kernel) {
  auto x = in.x_BCFHW;
  for (int64_t i = 0; i < in.schedule.steps(); ++i) {
    const auto step = step_of(kernel, in.schedule, i, in.slot_B, x.device());
    x = next_latents(x, in.velocity(x, step, in.conditioning), transition_noise(in, x, step), step.kernel);
  }
  return x;
}

}  // namespace thalweg
