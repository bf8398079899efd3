// Euler's method for the probability-flow ODE dx/ds = v (rectified flow: Liu et al. 2022, arXiv 2209.03003).
#pragma once

#include "samplers/sampler.h"

namespace thalweg {

/// x + v (s' - s), step by step. Returns x_0 [B,C,F,H,W] in the dtype of x.
at::Tensor sample_flow_ode(const SamplerInput& input);

/// One Euler step from sigma to next_sigma.
at::Tensor euler_step(const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW, double sigma, double next_sigma);

}  // namespace thalweg
