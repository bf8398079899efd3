// Whether a run can learn at all, said once, after the second iteration in which the policy may move: read
// off its first rows of metrics.jsonl by the names of the numbers, whatever the method; a number that a
// method has not is left out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/core/json.h"
#include "pipelines/stages/event.h"

namespace thalweg {

inline constexpr int64_t kSelfCheckAt = 2;  // iterations
inline constexpr const char* kSelfCheck = "self_check";

/// What the rows do not say.
struct SelfCheckFacts {
  double samples = 0.0;            // of an iteration
  double updates = 1.0;            // of an iteration
  double learning_rate = 0.0;      // at its largest
  double clip_range = 0.0;         // of the ratio; 0: the method has none
  double final_evaluations = 0.0;  // work behind the last iteration, in held-out evaluations
  int64_t waits = 0;               // iterations before the policy's first update
};

/// Of the rows so far. Level "warn" where a setting should be turned. `data`: "can_learn";
/// "groups_with_spread" (share), "log_prob_gap" (largest |log p - log p_old| before the first update),
/// "grad_norm" (mean), "masked_share", each null where nothing says it; "findings": a list of {"what",
/// "turn"}.
Event self_check(const std::vector<Json>& rows, const SelfCheckFacts& facts);

/// Seconds to the end of a run of so many iterations, by its newest iteration and evaluation.
double seconds_left(const std::vector<Json>& rows, const SelfCheckFacts& facts, int64_t iterations,
                    int64_t evaluate_every);

}  // namespace thalweg
