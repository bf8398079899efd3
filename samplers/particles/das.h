// Diffusion alignment as sampling (DAS: Kim, Kim, Park 2025, arXiv 2501.05803): sequential Monte Carlo whose
// proposals follow the gradient of a tempered twist, with the weights that make it exact.
#pragma once

#include "samplers/kernel.h"
#include "samplers/particles/particles.h"

namespace thalweg {

struct DasOptions {
  ParticleOptions particles;
  double lambda = 10.0;                  // strength of the tilt, >= 0 (the paper's 1 / kl_coeff)
  std::string value = "clean_estimate";  // outlook_names()
  double tempering = 0.0;                // gamma >= 0 (the paper's: 0.008 for 100 steps); 0: das_tempering
};

/// gamma for which the scale reaches 1 after 7/8 of the steps, as the paper's does.
double das_tempering(int64_t steps);

/// min((1 + gamma)^i - 1, 1).
double das_scale(double gamma, int64_t index);

/// Twists are scale_i lambda r, and lambda r for the final samples. The proposal moves the mean of a step by
/// std^2 scale_{i+1} lambda grad r; log-weights grow by log p(x'|x) - log q(x'|x) and the change of the
/// twist, so that the result is that of the discrete sampler tilted by e^{lambda r}, however rough the twist.
/// One call of the velocity and of its gradient a step. With one particle this is the sampler of `kernel`
/// with that gradient in its velocity, bit for bit.
Trajectory sample_das(const SamplerInput& input, const Kernel& kernel, const RewardValue& reward,
                      const DasOptions& options);

}  // namespace thalweg
