// Rewards of a rollout, every one of them kept. What an update makes of them is an Aggregation.
#pragma once

#include <optional>
#include <vector>

#include "pipelines/training/failed_rewards.h"
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
  FailurePolicy policy = {};  // where they are too few
};

/// Of a rollout, with what the field reports of it among the metrics and an event of the rewards that failed.
/// Gives up (FailurePolicy) where too few were scored; at least where no trained reward scored any sample:
/// such a rollout cannot teach anything.
Scores score(Training& training, const std::vector<MicroBatch>& batches, Metrics& metrics);

/// For who learns from the sum of the rewards: gives up when not one sample has them all.
void require_totals(const Scores& scores);

/// The event "reward_failed" of a rollout or evaluation (`phase`), if any did; it is told to the observer.
std::optional<Event> note_failures(const Observer& observer, const std::string& phase, const RewardBatch& raw,
                                   const at::Tensor& valid_B);

}  // namespace thalweg
