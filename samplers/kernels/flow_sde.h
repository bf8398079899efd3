// The kernel of Flow-GRPO (Liu et al. 2025, arXiv 2505.05470, equations 8 and 9).
#pragma once

#include "samplers/kernel.h"

namespace thalweg {

/// reverse_sde with g(s) = a sqrt(s / (1 - s~)), s~ = s but sigmas[1] at step 0, where s = 1 (by index, never
/// by comparison). Noise level a >= 0; 0 is Euler's step, bit for bit. Of the paper's clamp the first step
/// has std a however many steps there are; what that leaves in the variance is forgotten as K^(-a^2), slower
/// than any order: of normal data, at K = 100, 10,000 and 100,000, it is off by -.017, .0022 and .0019 for a
/// = .3, .0079, .0022 and .0007 for a = .7.
Kernel flow_sde(double noise_level);

}  // namespace thalweg
