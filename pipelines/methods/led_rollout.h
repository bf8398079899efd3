// Rollouts that a method's steering leads: how a micro-batch is drawn, and what is said of the rewards that
// led it.
#pragma once

#include <map>
#include <mutex>

#include "pipelines/steering/steered_draw.h"
#include "pipelines/training/metrics.h"
#include "pipelines/training/training.h"

namespace thalweg {

class LedRollout {
 public:
  /// Of one iteration; `trained_steps` of `window` keep their transitions. All must outlive it.
  LedRollout(Training& training, const std::vector<SteeringEntry>& entries, StepWindow window,
             std::vector<int64_t> trained_steps = {});

  /// A micro-batch, from any thread; see sample_steered.
  Trajectory sample(SamplerInput in, SteeringTrace& trace);

  /// Once, when all are drawn: "guidance_" and the counts of rewards and gradients among the metrics, and an
  /// event of those that failed. What it cost altogether.
  SteeringCost say(Metrics& metrics) const;

 private:
  Training& t_;
  const SteeredDraw draw_;
  std::mutex mutex_;
  std::map<int64_t, SteeringCost> costs_;  // by first slot: sums do not depend on who came first
};

/// Its parameters as they are, for rollouts whose gradients are those of latents alone.
Velocity fixed(const Training& training, const Role& role);

}  // namespace thalweg
