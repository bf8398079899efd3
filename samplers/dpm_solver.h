// DPM-Solver++ of second order (Lu et al. 2022, arXiv 2211.01095, algorithms 1 and 2) for flows: alpha = 1-s,
// sigma = s, lambda = log((1-s)/s), data prediction D = x - s v. With it a step is x' = (s'/s) x + (1 - s'/s)
// D*, and the solvers differ in D*. Where lambda is infinite, at s = 1 and s' = 0, D* = D, which is Euler's
// step.
#pragma once

#include "samplers/sampler.h"

namespace thalweg {

/// Multistep, in its midpoint form: D* = D + h/(2 h_last) (D - D_last), h the step in lambda. One velocity a
/// step. Returns x_0.
at::Tensor sample_dpmpp_2m(const SamplerInput& input);

/// The same from step `begin` on, at whose noise level x is.
at::Tensor dpmpp_2m_from(const SamplerInput& input, at::Tensor x_BCFHW, int64_t begin);

/// Singlestep: D* is taken half-way in lambda (r = 1/2). Two velocities a step, but one in the first from s =
/// 1 and in the last. Returns x_0.
at::Tensor sample_dpmpp_2s(const SamplerInput& input);

}  // namespace thalweg
