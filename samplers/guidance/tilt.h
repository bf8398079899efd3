// The exact form of guidance: the velocity of the tilted law p_t(x) e^{lambda r}, whatever the gradient is
// taken of. One coefficient rule for every method: v* = v - (t/(1-t)) lambda grad r.
#pragma once

#include "samplers/guidance/gradient.h"

namespace thalweg {

struct TiltOptions {
  double lambda = 1.0;       // strength; 0 is the velocity untouched, and asks for no reward
  int64_t window_begin = 0;  // steps that are guided
  int64_t window_size = 0;   // 0: to the end
  double max_sigma = 1.0;    // noise levels above it are not: t/(1-t) grows without bound
};

/// Samples that were not scored, or whose gradient is not finite, keep their velocity; so does t = 1, where x
/// says nothing of x_0. Where x is part of a graph, so is the velocity, with the pull as a constant: another
/// guidance around this one differentiates through the network.
Guidance tilted(RewardGradient gradient, TiltOptions options);

}  // namespace thalweg
