// Rewards of a rollout, every one of them kept, and what they become: a method takes the combined reward, or
// each reward for itself.
#pragma once

#include <optional>
#include <vector>

#include "engine/advantages/group.h"
#include "pipelines/training/groups.h"
#include "pipelines/training/metrics.h"
#include "rewards/combine/weighted.h"

namespace thalweg {

/// Rows are the samples of the rollout, micro-batch after micro-batch.
struct Scores {
  RewardBatch raw, transformed;  // [B,K], float64 on the CPU, with validity
  CombinedReward total;          // of the transformed ones, by the job's weights
  std::vector<double> weights_K;
  std::vector<int64_t> group_B;
};

/// Of a rollout, with what the field reports of it among the metrics and an event of the rewards that failed.
/// Throws Error when not one sample was scored: such a rollout cannot teach anything.
Scores score(Training& training, const std::vector<MicroBatch>& batches, Metrics& metrics);

/// The event "reward_failed" of a rollout or evaluation (`phase`), if any did; it is told to the observer.
std::optional<Event> note_failures(const Observer& observer, const std::string& phase, const RewardBatch& raw,
                                   const at::Tensor& valid_B);

/// Keys of group-relative advantages.
struct AdvantageOptions {
  double adv_clip_max = 5.0;
  bool global_std = true;
};
void describe(Fields& fields, AdvantageOptions& options);

/// Of the combined reward. Adds zero_std_ratio and reward_std_mean.
GroupAdvantages advantages_of(const Scores& scores, const AdvantageOptions& options, Metrics& metrics);

}  // namespace thalweg
