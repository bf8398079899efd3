// Flow-NRG (Liu et al. 2025, arXiv 2501.13918, section 4.3): a reward of noisy latents guides at run time,
// several of them by the weights of the job.
#pragma once

#include "samplers/guidance/tilt.h"

namespace thalweg {

/// v - (t/(1-t)) lambda grad r(x_t, t), r a process reward asked at (x_t, t) and differentiable. This is
/// value guidance too: with log h_t(x) = log E[e^{lambda r(x_0)} | x_t = x] for the reward and lambda 1 it is
/// exact for every kernel. A reward that only knows clean latents belongs to `dps`.
Guidance flow_nrg(RewardValue process_reward, TiltOptions options);

}  // namespace thalweg
