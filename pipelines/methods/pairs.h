// Pairs of a better and a worse sample of one prompt, and their loss (engine/losses/dpo.h): what methods
// share that learn from preferences.
#pragma once

#include "pipelines/methods/matching_method.h"
#include "pipelines/methods/noise_levels.h"

namespace thalweg {

struct PairOptions {
  NoiseLevels levels{.name = "logit_normal", .times = 4};
  double beta = 100.0, margin = 0.0, tie_theta = 1.0;
};

/// "noise_levels", "times_per_sample", "beta", "margin", "tie_theta".
void describe(Fields& fields, PairOptions& options);

/// Which of a pair's samples is better is their order; this is the rest.
struct Verdict {
  double margin = 0.0;
  bool tie = false;
};

/// Winner, loser, winner, loser: never parted by a micro-batch.
struct Pairs {
  std::vector<MicroBatch> batches;
  at::Tensor margin_B, tie_B;  // of both samples of a pair; float64 and bool, on the CPU

  int64_t count() const { return margin_B.size(0) / 2; }
};

/// `verdicts`: one a pair of the batches, in their order.
Pairs with_verdicts(std::vector<MicroBatch> batches, const std::vector<Verdict>& verdicts);

/// The best and the worst of each group by `reward`, masked samples left out. Groups whose samples all have
/// the same are ties, or without those (`tie_theta` 1) no pair.
Pairs best_and_worst(const Training& training, const Rollout& rollout, const CombinedReward& reward,
                     const GroupPlan& plan, const PairOptions& options);

/// The pairs of `sum`, then those of `part`.
void append(Pairs& sum, Pairs part);

/// Samples of a micro-batch: the job's, made even.
int64_t pair_micro_batch(const Training& training);

/// Both of a pair at the noise and the levels of their group. `reference`: of a micro-batch. What is returned
/// refers to `training` and `options`.
Matching pair_matching(const Training& training, const PairOptions& options, const Pairs& pairs,
                       std::function<Velocity(const Share&)> reference);

}  // namespace thalweg
