// The exact form of guidance: the velocity of the tilted law p_t(x) e^{lambda r}, whatever the gradient is
// taken of. One coefficient rule for every method: v* = v - (t/(1-t)) lambda grad r.
#pragma once

#include "samplers/guidance/gradient.h"

namespace thalweg {

struct TiltOptions {
  double lambda = 1.0;       // strength; 0 is the velocity untouched, and asks for no reward
  int64_t window_begin = 0;  // steps that are guided
  int64_t window_size = 0;   // 0: to the end
};

/// `options` for steps of `schedule` at noise levels of at most `max_sigma` alone: t/(1-t) grows without
/// bound. Decided by index, once, so that no step waits for a device.
TiltOptions below_level(TiltOptions options, const Schedule& schedule, double max_sigma);

/// `gradient` speaks of below_one(step): at t = 1 the pull is its limit. Samples that were not scored, or
/// whose gradient is not finite, keep their velocity. Where x is part of a graph, so is the velocity, with
/// the pull as a constant: another guidance around this one differentiates through the network.
Guidance tilted(RewardGradient gradient, TiltOptions options);

}  // namespace thalweg
