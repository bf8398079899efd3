// The network of a process reward as a job asks for it.
#pragma once

#include "engine/models/process_reward/process_reward.h"
#include "pipelines/train_reward/reward_training.h"

namespace thalweg {

class ProcessNetwork {
 public:
  void describe(Fields& fields);
  /// Throws Error below /learner/network for what the job's model has not. Reads configs alone.
  void check(const TrainRewardOptions& options) const;
  /// For the model, its latents and text.
  ProcessReward made(const RewardTraining& training) const;
  /// `folder` is where a job will read it from; a backbone is named relative to it, with its sha256.
  void save(const std::filesystem::path& folder, ProcessRewardConfig config,
            const TensorMap& parameters) const;

 private:
  ProcessRewardConfig of(const ModelSection& model) const;

  ProcessRewardConfig config_;
};

}  // namespace thalweg
