// The levels at which distributions are compared along a few-step trajectory.
#pragma once

#include "pipelines/training/training.h"

namespace thalweg {

/// How high the state that a step ends at is noised again.
struct TauOptions {
  std::string range = "reverse";  // from s to `maximum`; or "separate": from s to t
  double margin = 0.02, maximum = 0.98, shift = 1.0;
};
void describe(Fields& fields, TauOptions& options);
/// Throws Error at /method/tau/... where a step of the schedule has no level left, and at /sampler/schedule
/// where its last step begins within the margin: nothing would be left to it.
void check_tau(const TauOptions& options, const Schedule& schedule);

/// Levels for the ends of steps k_B, float64 [B] on the CPU: uniform in the range before the shift, by slot
/// and `index`, none below `minimum`.
at::Tensor drawn_tau(const Training& training, const TauOptions& options, const std::vector<int64_t>& slot_B,
                     const std::vector<int64_t>& k_B, uint64_t index, double minimum = 0.0);

}  // namespace thalweg
