// Simultaneous perturbation (Spall 1992) for rewards without gradients, as Euphonium (arXiv 2602.04928) does
// it: the clean estimate is moved both ways along random directions.
#pragma once

#include "samplers/guidance/tilt.h"

namespace thalweg {

struct SpsaOptions {
  int64_t probes = 1;    // directions; each is two calls of the reward
  double radius = 0.01;  // s, in latent units
};

/// Mean over probes of (r(x0 + s u) - r(x0 - s u)) / (2 s) u, u standard normal by slot * probes + probe and
/// step.index: the gradient at x0, but for terms in s^2, with noise of about its own length times
/// sqrt(elements / probes). A probe with a side that was not scored is left out; without any, 0.
at::Tensor spsa_slope(const RewardValue& reward, const at::Tensor& x0_BCFHW, const Step& step,
                      const Conditioning& conditioning, const SpsaOptions& options, uint64_t seed);

/// spsa_slope at x0hat as the gradient that Euphonium follows: as it is, as if d x0hat / dx were 1.
RewardGradient spsa_gradient(RewardValue reward, SpsaOptions options, uint64_t seed);

/// mpgd with spsa_slope for the gradient.
Guidance spsa(RewardValue reward, TiltOptions tilt, SpsaOptions options, uint64_t seed);

}  // namespace thalweg
