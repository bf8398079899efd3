// Samples of one micro-batch, led by a job's steering: its rewards, its guidance, what that cost.
#pragma once

#include <vector>

#include "engine/models/flow_model.h"
#include "pipelines/steering/cost.h"
#include "pipelines/steering/steering.h"
#include "rewards/reward_set.h"

namespace thalweg {

struct SteeredDraw {
  const FlowModel& model;
  const RewardSet& rewards;
  const std::vector<SteeringEntry>& entries;
  const SamplerSection& sampler;
  StepWindow window;         // of the sampler's noise
  int64_t micro_batch = 16;  // samples of one call of network, decoder and reward
  PhaseClock& clock;
  std::vector<int64_t> trained_steps = {};  // whose transitions are kept, by the job's own sampler
};

/// What is told of the steering while it leads.
struct SteeringTrace {
  StepScores scores;
  GuidanceSink led;  // of what the entries add to the velocity
};

/// `in.velocity` is that of classifier-free guidance. Adds to `cost`; tells `trace` where there is one.
Trajectory sample_steered(const SteeredDraw& draw, SamplerInput in, SteeringCost& cost,
                          SteeringTrace* trace = nullptr);

}  // namespace thalweg
