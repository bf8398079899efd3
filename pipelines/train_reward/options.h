// The `train_reward` job's options. Those of its learners are in pipelines/learners/.
#pragma once

#include "pipelines/learners/learner.h"
#include "pipelines/training/options.h"

namespace thalweg {

struct LearnedEvaluateSection {
  int64_t every = 10, prompts = 128, group_size = 8, levels = 9;
};
void describe(Fields& fields, LearnedEvaluateSection& evaluate);

struct TrainRewardOptions : TrainingOptions {
  std::string name;
  std::vector<RewardSpec> rewards;
  CombineSection combine;
  Chosen<Learner> learner;
  LearnedEvaluateSection evaluate;
  CheckpointSection checkpoint;
  DeviceSection device;
  std::string output;
};
void describe(Fields& fields, TrainRewardOptions& options);

/// run_identity() of these options.
Json train_reward_identity(const TrainRewardOptions& options);

}  // namespace thalweg
