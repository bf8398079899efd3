// The memoryless kernel (Domingo-Enrich et al. 2024, arXiv 2409.08861): the noising process backwards, so
// that x_0 does not depend on the initial noise. In its ancestral form (DDPM, Ho et al. 2020, arXiv
// 2006.11239, equations 6 and 7), which is finite at s = 1 and at s' = 0.
#pragma once

#include "samplers/kernel.h"

namespace thalweg {

/// renoised with std = eta s' sqrt(1 - (r s'/s)^2), r = (1-s)/(1-s'): eta 1 draws x' from the law of x' given
/// x and x_0 = x - s v, which is the memoryless SDE (g^2 = 2s/(1-s)) as steps grow many; eta in [0, 1] is
/// DDIM's, and 0 is Euler's step, bit for bit. The last step draws no noise.
Kernel memoryless(double eta = 1.0);

}  // namespace thalweg
