// How well a process reward orders held-out samples by what they will come to, noise level by noise level.
#pragma once

#include <map>

#include "engine/models/process_reward/process_reward.h"
#include "pipelines/report/report.h"
#include "pipelines/train_reward/reward_training.h"
#include "pipelines/training/metrics.h"

namespace thalweg {

/// Spearman's correlation of the process reward with the outcome; NaN where one of them has no spread.
struct LevelRanks {
  double sigma = 0.0;
  double all = 0.0;     // over all samples: prompts differ in how hard they are
  double groups = 0.0;  // mean over prompts of that among the samples of each: what steering lives on
};

class HeldOutRanks {
 public:
  /// `levels` noise levels k/(levels+1). With `kept_step` the states of the rollouts count, each at the level
  /// next to its own.
  HeldOutRanks(RewardTraining& training, int64_t group_size, int64_t levels,
               RewardTraining::StepOf kept_step);

  /// On samples of `prompts`, drawn when they are first asked for.
  std::vector<LevelRanks> of(const PromptSet& prompts, const NoisyValue& value);

  /// The number that chooses the best checkpoint: `groups`, the mean over the levels that have one.
  static double chosen(const std::vector<LevelRanks>& levels);
  static const char* name() { return "group_rank_correlation"; }
  static Metrics metrics(const std::vector<LevelRanks>& levels);
  static Json json(const std::vector<LevelRanks>& levels);
  /// Charts and a table, of json() and the rows of metrics.jsonl.
  static void report(const Json& held_out, const std::vector<Json>& rows, Report& report);

 private:
  struct States {
    std::vector<int64_t> rows;  // of the outcomes
    at::Tensor x_BCFHW, sigma_B;
  };
  States states_at(const Outcomes& outcomes, int64_t level) const;
  std::vector<double> values(const PromptSet& prompts, const Outcomes& outcomes, const States& states,
                             const NoisyValue& value) const;

  RewardTraining& t_;
  int64_t group_size_, levels_;
  RewardTraining::StepOf kept_step_;
  std::map<const PromptSet*, Outcomes> drawn_;
};

}  // namespace thalweg
