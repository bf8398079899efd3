// The kernel of DanceGRPO (Xue et al. 2025, arXiv 2505.07818, equation 5); Euphonium (arXiv 2602.04928)
// guides the same one.
#pragma once

#include "samplers/kernel.h"

namespace thalweg {

/// reverse_sde with g = eta everywhere. The last step draws noise too, eta sqrt(s), which stays in x_0. eta
/// >= 0; 0 is Euler's step, bit for bit.
Kernel dance_sde(double eta);

}  // namespace thalweg
