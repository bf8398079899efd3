// The stochastic sampler of Flow-GRPO (Liu et al. 2025, arXiv 2505.05470, equations 8 and 9): the ODE turned
// into an SDE with the same marginals, so that each step is a Gaussian with a log-probability.
#pragma once

#include "samplers/kernel.h"
#include "samplers/sampler.h"

namespace thalweg {

/// Steps [begin, end) draw noise, the others are Euler steps.
struct StepWindow {
  int64_t begin = 0, end = 0;
};

/// g(s) = a sqrt(s / (1 - s~)), s~ = s but sigmas[1] at step 0, where s = 1 (by index, never by comparison).
double flow_sde_diffusion(const Schedule& schedule, int64_t index, double noise_level);

/// mean = x (1 + g^2/(2s) dt) + v (1 + g^2 (1-s)/(2s)) dt, std = g sqrt(-dt). Noise level 0 is the Euler
/// step, bit for bit.
Transition flow_sde_transition(const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW, const Schedule& schedule,
                               int64_t index, double noise_level);

/// Flow-GRPO's kernel at `noise_level` a.
Kernel flow_sde(double noise_level);

/// Samples; keeps latents and log-probs of `trained_steps` (ascending, inside the window, never the last
/// step).
Trajectory sample_flow_sde(const SamplerInput& input, double noise_level, StepWindow window,
                           const std::vector<int64_t>& trained_steps);

}  // namespace thalweg
