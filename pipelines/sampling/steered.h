// Draws micro-batches by the sampler, guidance and steering of a `sample` job, each with a count of its own.
#pragma once

#include <map>
#include <mutex>

#include "engine/models/flow_model.h"
#include "pipelines/sampling/options.h"
#include "pipelines/stages/phase_clock.h"
#include "pipelines/steering/cost.h"
#include "rewards/reward_set.h"
#include "samplers/sampler.h"

namespace thalweg {

class SteeredSampler {
 public:
  /// All must outlive it; `rewards` may be null, `unconditional` is on the model's device.
  SteeredSampler(const SampleOptions& options, const FlowModel& model, RewardSet* rewards,
                 const Conditioning& unconditional, PhaseClock& clock);

  /// `input.velocity` is the network's.
  Trajectory operator()(SamplerInput input);

  /// What the micro-batch cost that begins with this sample of the job; to be asked once.
  SteeringCost take_cost(int64_t first);

 private:
  const SampleOptions& options_;
  const FlowModel& model_;
  RewardSet* rewards_;
  const Conditioning& unconditional_;
  PhaseClock& clock_;
  StepWindow window_;
  std::mutex mutex_;  // of what follows
  std::map<int64_t, SteeringCost> costs_;
};

}  // namespace thalweg
