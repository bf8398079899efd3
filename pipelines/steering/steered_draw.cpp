#include "pipelines/steering/steered_draw.h"

#include <utility>

#include "pipelines/steering/reward_value.h"
#include "samplers/guidance/trace.h"

namespace thalweg {

Trajectory sample_steered(const SteeredDraw& draw, SamplerInput in, SteeringCost& cost,
                          SteeringTrace* trace) {
  auto* scores = trace ? &trace->scores : nullptr;
  const auto led = trace ? trace->led : GuidanceSink{};
  const auto failures = std::make_shared<FailureSink>();
  std::map<int64_t, int64_t> times_scored;
  const auto reward_for = [&](RewardUse use) {
    return reward_value({draw.model, draw.rewards, use, in.seed, draw.sampler.steps, draw.micro_batch, cost,
                         draw.clock, failures, times_scored, scores});
  };
  const auto steering =
      make_steering(draw.entries, draw.sampler, draw.window, in.schedule, reward_for, in.seed, led);
  in.velocity = traced(steering.guidance,
                       watched(in_parts(std::move(in.velocity), draw.micro_batch), cost, scores), led);
  auto trajectory =
      steering.sample ? steering.sample(in) : draw_samples(in, draw.sampler, draw.window, draw.trained_steps);
  add_failures(cost.failures, failures->take());
  return trajectory;
}

}  // namespace thalweg
