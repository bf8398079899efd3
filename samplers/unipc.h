// UniPC of second order (Zhao et al. 2023, arXiv 2302.04867) for flows, as Wan's folders name it: data
// prediction D = x - s v, B(h) = e^h - 1 ("bh2"), h the step in lambda = log((1-s)/s).
#pragma once

#include "samplers/sampler.h"

namespace thalweg {

/// A predictor as DPM-Solver++'s, and before it the last step again, corrected by the D that it led to. One
/// velocity a step; the first and the last step are Euler's. Returns x_0.
at::Tensor sample_unipc(const SamplerInput& input);

}  // namespace thalweg
