// Feynman-Kac steering (Singhal et al. 2025, arXiv 2501.06848): particles are weighed by potentials of a
// reward at intermediate states and resampled, so that in the end they stand for p(x_0) e^{lambda r(x_0)}.
#pragma once

#include "samplers/kernel.h"
#include "samplers/particles/particles.h"

namespace thalweg {

struct FkOptions {
  ParticleOptions particles;
  double lambda = 10.0;                  // strength of the tilt, >= 0
  std::string potential = "diff";        // potential_names()
  std::string value = "clean_estimate";  // outlook_names()
  int64_t interval = 5;                  // steps from one scoring to the next, > 0
  int64_t window_begin = 0;              // the first step that is scored
  int64_t window_size = 0;               // 0: to the end
};

/// Of the k-th scoring r_k of a lineage, log G_k / lambda: "diff" r_k - r_{k-1} (r_0 = 0), "max" the highest
/// of r_1..r_k, "add" their sum, "rt" r_k, "is" 0 (nothing is scored before the end).
const std::vector<std::string>& potential_names();

/// Particles are scored before the steps begin, begin + interval, ... of the window and resampled there; the
/// velocity of a step serves its scoring. The final samples are weighed by e^{lambda r(x_0)} over the product
/// of the potentials of their lineage, whatever the potential: the weights are those of the tilt, and the
/// estimate of its Z is unbiased. With one particle this is the sampler of `kernel`, bit for bit.
Trajectory sample_fk(const SamplerInput& input, const Kernel& kernel, const RewardValue& reward,
                     const FkOptions& options);

}  // namespace thalweg
