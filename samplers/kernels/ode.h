// Euler's method for the probability-flow ODE dx/ds = v (rectified flow: Liu et al. 2022, arXiv 2209.03003).
#pragma once

#include "samplers/kernel.h"

namespace thalweg {

/// x + v (s' - s): no noise, no log-probability.
Kernel ode();

}  // namespace thalweg
