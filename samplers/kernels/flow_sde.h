// The kernel of Flow-GRPO (Liu et al. 2025, arXiv 2505.05470, equations 8 and 9).
#pragma once

#include "samplers/kernel.h"

namespace thalweg {

/// reverse_sde with g(s) = a sqrt(s / (1 - s~)), s~ = s but sigmas[1] at step 0, where s = 1 (by index, never
/// by comparison). Noise level a >= 0; 0 is Euler's step, bit for bit.
Kernel flow_sde(double noise_level);

}  // namespace thalweg
