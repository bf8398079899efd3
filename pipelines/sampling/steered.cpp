#include "pipelines/sampling/steered.h"

#include <utility>

#include "pipelines/steering/reward_value.h"
#include "samplers/guidance/cfg.h"

namespace thalweg {

SteeredSampler::SteeredSampler(const SampleOptions& options, const FlowModel& model, RewardSet* rewards,
                               const Conditioning& unconditional, PhaseClock& clock)
    : options_(options),
      model_(model),
      rewards_(rewards),
      unconditional_(unconditional),
      clock_(clock),
      window_(step_window(options.sampler, static_cast<uint64_t>(options.seed), 0)) {}

Trajectory SteeredSampler::operator()(SamplerInput in) {
  const auto& o = options_;
  const auto guided = cfg(o.sampler.guidance(), unconditional_);
  if (o.steering.empty()) {
    in.velocity = guided(std::move(in.velocity));
    return draw_samples(in, o.sampler, window_);
  }
  SteeringCost cost;
  const auto failures = std::make_shared<FailureSink>();
  std::map<int64_t, int64_t> times_scored;
  const auto reward_for = [&](RewardUse use) {
    return reward_value({model_, *rewards_, use, in.seed, o.sampler.steps, o.parallel.micro_batch, cost,
                         clock_, failures, times_scored});
  };
  const auto steering = make_steering(o.steering, o.sampler, window_, in.schedule, reward_for, in.seed);
  in.velocity = steering.guidance(
      watched(in_parts(guided(counted(std::move(in.velocity), cost, clock_)), o.parallel.micro_batch), cost));
  auto trajectory = steering.sample ? steering.sample(in) : draw_samples(in, o.sampler, window_);
  add_failures(cost.failures, failures->take());
  const std::lock_guard lock(mutex_);
  costs_[in.slot_B.front() / steering.particles] = std::move(cost);
  return trajectory;
}

SteeringCost SteeredSampler::take_cost(int64_t first) {
  const std::lock_guard lock(mutex_);
  auto node = costs_.extract(first);
  return node ? std::move(node.mapped()) : SteeringCost{};
}

}  // namespace thalweg
