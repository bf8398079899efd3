// Euphonium's reward gradient guidance (arXiv 2602.04928, from its code): each step's mean goes up the
// gradient of a process reward (or of what stands for one). It explores; it does not sample the tilted law
// (`flow_nrg` with log h does).
#pragma once

#include "samplers/guidance/gradient.h"

namespace thalweg {

struct EuphoniumOptions {
  double guidance_scale = 0.01;  // c >= 0; 0 with beta 0 is the velocity untouched, and asks for no reward
  double beta = 0.0;             // positive: c = eta^2 / (2 beta), eta the diffusion of the sampler's step
  bool normalize = false;        // the gradient over its norm in the whole latent of a sample
  int64_t window_begin = 0;      // steps that are guided; the recipe: the last 4 of 16
  int64_t window_size = 0;       // 0: to the end
};

/// Moves the mean of the sampler's step (Step::kernel) by c D g, D = t - t'. The change of the velocity is
/// c D g over the kernel's factor of v, whatever the kernel.
Guidance euphonium(RewardGradient gradient, EuphoniumOptions options);

}  // namespace thalweg
