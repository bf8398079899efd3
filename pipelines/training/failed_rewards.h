// What a run that trains does when rewards leave samples without a value.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/core/fields.h"
#include "rewards/reward_batch.h"

namespace thalweg {

/// The key `failed_rewards` of a job.
struct FailedRewardsSection {
  double min_valid_fraction = 0.0;
  std::string policy = "pause";
};
void describe(Fields& fields, FailedRewardsSection& section);

/// Samples that were not scored are masked, whatever the policy; it says when that is too much.
class FailurePolicy {
 public:
  FailurePolicy() = default;
  /// `begun`: the run has taught something, so that it had better be kept and gone on from.
  FailurePolicy(FailedRewardsSection section, bool begun) : section_(std::move(section)), begun_(begun) {}

  /// Gives up where a column with a weight has a value for fewer of the samples than `min_valid_fraction`;
  /// `phase`: "the rollout".
  void require(const std::string& phase, const RewardBatch& raw, const std::vector<double>& weights_K) const;

  /// Throws Error at /rewards in a run that has not begun, else Stopped with what is said: to go on from
  /// (`pause`, `mask`), or as a failure (`stop`).
  [[noreturn]] void give_up(const std::string& what) const;

 private:
  FailedRewardsSection section_;
  bool begun_ = false;
};

}  // namespace thalweg
