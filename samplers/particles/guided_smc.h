// Guided sequential Monte Carlo: the steps of a sampler drift along the gradient of a potential (the rule of
// Euphonium, arXiv 2602.04928), and Jarzynski's equality weighs what that misses, as in NETS (Albergo and
// Vanden-Eijnden 2024, arXiv 2410.02711). Exact for any differentiable potential, as steps grow many.
#pragma once

#include "samplers/kernel.h"
#include "samplers/particles/particles.h"

namespace thalweg {

struct GuidedSmcOptions {
  ParticleOptions particles;
  double lambda = 10.0;                  // strength of the tilt, >= 0
  std::string value = "clean_estimate";  // outlook_names()
  int64_t begin = 0;                     // steps before this one are those of the sampler alone
};

/// Potentials U_t = lambda r, of the clean estimate or of the noisy latents, and U_0 = lambda r(x_0). A step
/// moves the mean by std^2/2 grad U_t and multiplies the weight by e^{U_t'(x - (t - t') v) - U_t(x)}. Wants a
/// kernel that keeps the marginals (flow_sde, dance_sde, memoryless; not cps). Each step asks for the
/// velocity twice (once where the reward scores noisy latents) and for one gradient. With one particle this
/// is the sampler of `kernel` with that gradient in its velocity, bit for bit. A particle whose potential is
/// not known before or after a step follows the ODE in it, without noise, and the next potential that is
/// known is weighed against the last one.
Trajectory sample_guided_smc(const SamplerInput& input, const Kernel& kernel, const RewardValue& reward,
                             const GuidedSmcOptions& options);

}  // namespace thalweg
