// Best of N: the sampler of a kernel with N particles for each sample, scored in the end.
#pragma once

#include "samplers/kernel.h"
#include "samplers/particles/particles.h"

namespace thalweg {

struct BestOfNOptions {
  int64_t particles = 4;
  std::string selection = "best";  // selection_names(); "draw" is a sample of the sampler itself
};

/// Weights are equal: all particles are fair samples, and the selection by reward makes the best of N.
Trajectory sample_best_of_n(const SamplerInput& input, const Kernel& kernel, const RewardValue& reward,
                            const BestOfNOptions& options);

}  // namespace thalweg
