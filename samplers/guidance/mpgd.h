// Manifold preserving guidance (He et al. 2023, arXiv 2311.16424): the clean estimate itself goes up the
// reward, so that nothing is differentiated through the network.
#pragma once

#include "samplers/guidance/tilt.h"

namespace thalweg {

/// x0hat + lambda t^2 / ((1-t)^2 + t^2) grad r(x0hat), as a velocity. The step size, which the paper leaves
/// open, is the variance of x_0 given x_t for standard normal data: there a linear reward is tilted exactly.
Guidance mpgd(RewardValue reward, TiltOptions options);

}  // namespace thalweg
