// Rewards of a job as a function of latents: the bridge from samplers, which know no plugin, to plugins,
// which know no latents.
#pragma once

#include <map>
#include <memory>

#include "engine/models/flow_model.h"
#include "pipelines/steering/cost.h"
#include "rewards/reward_set.h"

namespace thalweg {

struct RewardValueInput {
  const FlowModel& model;
  const RewardSet& rewards;
  RewardUse use = RewardUse::guide;  // or process, for methods that score noisy latents
  uint64_t seed = 0;
  int64_t num_steps = 0;
  int64_t micro_batch = 16;  // samples decoded and scored at once
  SteeringCost& cost;
  PhaseClock& clock;
  /// Takes failures of plugins, and of gradients on their way; they mask their samples: NaN for a value, and
  /// for the whole gradient.
  std::shared_ptr<FailureSink> failures;
  /// How often the sample of a slot was scored so far, by whatever steers it: each time has its own id.
  std::map<int64_t, int64_t>& times_scored;
  StepScores* scores = nullptr;  // takes every value, and the samples without a gradient
};

/// What the job's steering follows (RewardSet::value). Latents are decoded where a reward takes frames;
/// gradients then pass through the decoder. Everything in `input` must outlive the function.
RewardValue reward_value(const RewardValueInput& input);

}  // namespace thalweg
