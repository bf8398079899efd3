// Soft value-based decoding (SVDD: Li et al. 2024, arXiv 2408.08252): each step draws candidates and goes on
// with one of them, chosen by the softmax of their values.
#pragma once

#include <string>

#include "samplers/kernel.h"
#include "samplers/sampler.h"

namespace thalweg {

struct SvddOptions {
  int64_t candidates = 4;                // M > 0
  double temperature = 0.1;              // alpha, of the softmax (1 / lambda); 0: the highest value
  std::string value = "clean_estimate";  // outlook_names()
  int64_t window_begin = 0;              // steps that choose
  int64_t window_size = 0;               // 0: to the end
  int64_t at_once = 0;  // candidates looked at in one batch; 0: as many as make 32 rows. Changes no choice
};

/// Candidate 0 of a step is the sampler's own; a candidate that is not scored is not chosen, and where none
/// is, candidate 0 goes on. The velocity at the chosen one serves the next step: M calls a step with
/// "clean_estimate", one with "noisy_latents". Steps without noise have one candidate. With M = 1 this is the
/// sampler of `kernel`, bit for bit. With soft values of the state, the memoryless kernel (x_0 then owes
/// nothing to x_1, which is not tilted) and many candidates this draws p(x_0) e^{r/alpha}; with another
/// kernel it falls short of it. The record speaks of candidates; samples have equal weights.
Trajectory sample_svdd(const SamplerInput& input, const Kernel& kernel, const RewardValue& reward,
                       const SvddOptions& options);

}  // namespace thalweg
