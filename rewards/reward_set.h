// All rewards of a job, scored as one batch.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "rewards/activation.h"
#include "rewards/reward.h"
#include "rewards/reward_batch.h"
#include "rewards/reward_spec.h"

namespace thalweg {

/// An entry of a job and the reward behind it.
struct RewardMember {
  RewardSpec spec;
  std::shared_ptr<Reward> reward;  // shared with the graphs of its gradients
};

/// open_reward for each.
std::vector<RewardMember> open_rewards(const std::vector<RewardSpec>& specs,
                                       const std::vector<std::filesystem::path>& plugin_dirs,
                                       const Activation& activation);

/// Rewards that score a sample by itself, those that compare the samples of a group, or both.
enum class Scoring { all, alone, groups };

/// Rewards of one job, torn down in reverse order. Calls may come from any thread, at the same time.
class RewardSet {
 public:
  /// Throws Error at the JSON pointer of a dimension that its reward has not (with the nearest name), or of a
  /// weight that is not finite.
  /// `fps`: of videos whose input says no rate.
  explicit RewardSet(std::vector<RewardMember> members, double fps = 0.0);
  ~RewardSet();
  RewardSet(const RewardSet&) = delete;
  RewardSet& operator=(const RewardSet&) = delete;

  /// Every dimension of every reward: "plugin/dimension", with "#2" and so on where that is taken.
  const std::vector<std::string>& names_K() const { return names_K_; }
  /// In the combined reward: weight of the entry times weight of the dimension; 0 for dimensions that were
  /// not asked for, and for entries of another use than `train`.
  const std::vector<double>& weights_K() const { return weights_K_; }
  /// Of those that serve `use` (see serving()).
  std::vector<RewardInfo> infos(RewardUse use) const;

  /// Columns of rewards that compare the samples of a group.
  const std::vector<bool>& comparing_K() const { return comparing_K_; }
  /// Whether there is one.
  bool compares() const;
  /// For who has no groups: throws Error at the entry of one that compares.
  void refuse_comparing() const;
  /// weights_K() where samples are alone: 0 for those that compare.
  std::vector<double> weights_alone_K() const;

  /// Whether one of them is computed outside of this process, so that a thread that scores waits.
  bool elsewhere() const;

  /// Raw as scored, the columns being names_K. Those that are computed elsewhere are asked at the same time.
  /// A reward that fails leaves its columns invalid; its calls that fail, and entries that are not numbers in
  /// columns with a weight, are among the batch's failures. Throws Error only as Reward::score does. Columns
  /// of those that are not among `which` are invalid, and no failure. For those that compare, the input's
  /// groups must be whole.
  RewardBatch score(const ScoreInput& input, Scoring which = Scoring::all) const;

  /// Each entry's transform on its own columns.
  RewardBatch transform(const RewardBatch& raw) const;

  /// What steering follows: those that serve `use`, transformed and weighted, float64 [B] on the CPU; NaN
  /// where a sample was not scored. Where the frames or latents ask for gradients, so does the result.
  /// Failures go to the sink: as in score(), and those of backward passes when they happen. Throws Error as
  /// Reward::score does, for gradients of a reward that has none, and for one that compares.
  at::Tensor value(const ScoreInput& input, RewardUse use, const std::shared_ptr<FailureSink>& sink) const;

 private:
  struct Member {
    RewardMember of;
    int64_t first = 0;                   // column
    std::vector<double> weights_k = {};  // of its own columns, whatever its use
  };
  void add_columns(const Member& member);
  std::vector<const Member*> members(RewardUse use) const;
  const ScoreInput& with_rate(const ScoreInput& input, ScoreInput& own) const;
  static std::vector<Scored> scored(const std::vector<const Member*>& members, const ScoreInput& input);

  std::vector<Member> members_;
  std::vector<RewardUse> uses_;  // of the members
  std::vector<std::string> names_K_;
  std::vector<double> weights_K_;
  std::vector<bool> comparing_K_;
  double fps_;
};

}  // namespace thalweg
