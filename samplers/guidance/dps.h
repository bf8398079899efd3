// Diffusion posterior sampling (Chung et al. 2022, arXiv 2209.14687) with a reward for the likelihood: the
// reward of the clean estimate stands for the value of the noisy latents.
#pragma once

#include "samplers/guidance/tilt.h"

namespace thalweg {

/// v - (t/(1-t)) lambda grad_x r(x0hat(x)), through the reward (and the decoder, where it takes frames) and
/// through the network. E r is taken for r of the mean, so the tilt is right for small lambda only.
Guidance dps(RewardValue reward, TiltOptions options);

}  // namespace thalweg
