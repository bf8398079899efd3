// MixGRPO-Flash (Li et al. 2025, arXiv 2507.21802): noise in a window of steps, and after it fewer steps of
// higher order, since nothing there is trained.
#pragma once

#include "samplers/transitions.h"

namespace thalweg {

/// `schedule` up to its step `begin`, then about `ratio` (in (0,1], one step at least) of the steps that are
/// left, evenly over their indices; noise levels between two of the schedule's are interpolated.
Schedule with_shorter_tail(const Schedule& schedule, int64_t begin, double ratio);

/// sample_transitions with `kernel` before step `begin` > 0; then DPM-Solver++ of second order, multistep in
/// its midpoint form as in the paper's code, down to 0 on the shorter tail. The tail begins anew: the
/// estimate of the last step before it, which that code carries over, is of a state that noise has left. The
/// steps before `begin` are those of the whole schedule, and so are their log-probs.
Trajectory sample_with_shorter_tail(const SamplerInput& input, const Kernel& kernel, int64_t begin,
                                    double ratio, const std::vector<int64_t>& trained_steps = {},
                                    LogProb form = gaussian);

}  // namespace thalweg
