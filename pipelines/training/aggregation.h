// How the rewards of a rollout become the direction of an update. A way is one file in pipelines/aggregation
// with its row in the table (pipelines/builtin.cpp); methods know none of them by name.
#pragma once

#include <memory>
#include <optional>

#include "engine/advantages/gdpo.h"
#include "engine/core/chosen.h"
#include "pipelines/training/scores.h"
#include "pipelines/training/state.h"
#include "pipelines/training/updates.h"

namespace thalweg {

/// One loss of an update: the weighted sum of its samples' losses for advantages of this head. Rows are the
/// samples of the rollout; float64 on the CPU.
struct Head {
  at::Tensor advantage_B;  // 0 where not used; [steps,B] where each training step of a sample has its own
  at::Tensor weight_B;     // 0: the sample does not count; all of an update's together are 1
};

/// Of all samples of a rollout: one for the sum of the rewards, or one a reward.
struct Advantages {
  std::vector<GroupAdvantages> heads;
  at::Tensor used_B;  // by any of them
};

/// A way at work. What it remembers between updates is in its state.
class Aggregator {
 public:
  virtual ~Aggregator() = default;
  virtual Advantages advantages(const Scores& scores, Metrics& metrics) = 0;
  /// What this update differentiates: each head for itself.
  virtual std::vector<Head> heads(const Advantages& advantages, const Update& update);
  /// From the gradients of `heads`, in their order: of one, itself.
  virtual TensorMap direction(Gradients of_heads, Metrics& metrics);
  virtual void state(RunState&) {}
};

/// "adv_clip_max", "global_std", "std".
void describe(Fields& fields, GroupNorm& norm);

class Aggregation {
 public:
  virtual ~Aggregation() = default;
  virtual std::unique_ptr<Aggregation> clone() const = 0;  // see Cloneable
  virtual void describe(Fields& fields) = 0;
  /// The deviation that a job gets which names none; none: the method's own.
  virtual std::optional<DeviationOver> deviation() const { return std::nullopt; }
  /// `rewards`: of the job; without any (a rehearsal) the sum is the one reward. Throws Error for options
  /// that do not fit them.
  virtual std::unique_ptr<Aggregator> start(const GroupNorm& norm, const RewardSet& rewards) const = 0;
};

/// The first is the default.
const Chosen<Aggregation>::Table& aggregation_table();

/// Keys of a method that learns from advantages.
struct AdvantageOptions {
  GroupNorm norm;
  Chosen<Aggregation> aggregation{aggregation_table().front()};

  std::unique_ptr<Aggregator> start(const Training& training) const {
    return aggregation->start(norm, *training.rewards);
  }
};
void describe(Fields& fields, AdvantageOptions& options);

/// Columns whose weight is not 0, by index.
std::vector<size_t> trained_columns(const std::vector<double>& weights_K);

/// The trained columns, transformed, with their weights; without any, the sum with weight 1.
WeightedRewards trained_rewards(const Scores& scores);

/// Checks advantages [B] of samples of which `valid_B` have a reward; zero_std_ratio and reward_std_mean go
/// among the metrics.
void report_advantages(const GroupAdvantages& advantages, const at::Tensor& valid_B, Metrics& metrics);

/// Of one reward a sample, with zero_std_ratio and reward_std_mean among the metrics.
GroupAdvantages advantages_of(const CombinedReward& reward, const std::vector<int64_t>& group_B,
                              const GroupNorm& norm, Metrics& metrics);

/// For who learns from the sum of the rewards itself: requires it (see require_totals), and says the same of
/// its groups as advantages would.
void report_totals(const Scores& scores, Metrics& metrics);

/// Of the samples of an update that the head uses, each with the same weight.
Head head_of(const GroupAdvantages& advantages, const Update& update);

}  // namespace thalweg
