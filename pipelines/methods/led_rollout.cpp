#include "pipelines/methods/led_rollout.h"

#include <ATen/ATen.h>

#include <utility>

namespace thalweg {

LedRollout::LedRollout(Training& training, const std::vector<SteeringEntry>& entries, StepWindow window,
                       std::vector<int64_t> trained_steps)
    : t_(training), draw_{*training.model, *training.rewards,
                          entries,         training.options.sampler,
                          window,          training.options.parallel.micro_batch,
                          training.clock,  std::move(trained_steps)} {}

Trajectory LedRollout::sample(SamplerInput in, SteeringTrace& trace) {
  const auto first = in.slot_B.front();
  SteeringCost cost;
  auto trajectory = sample_steered(draw_, std::move(in), cost, &trace);
  const std::lock_guard lock(mutex_);
  costs_[first] = std::move(cost);
  return trajectory;
}

SteeringCost LedRollout::say(Metrics& metrics) const {
  SteeringCost all;
  for (const auto& [first, cost] : costs_) all.add(cost);
  for (const auto& [name, count] : kSteeringCounts)
    if (count != &SteeringCost::network_evaluations && count != &SteeringCost::network_gradients)
      metrics.emplace_back(std::string("guidance_") + name, static_cast<double>(all.*count));
  if (auto event = steering_failures(all)) {
    t_.observer.message(event->message);
    t_.events.add(std::move(*event));
  }
  return all;
}

Velocity fixed(const Training& t, const Role& role) {
  TensorMap parameters;
  for (const auto& [name, parameter] : role.parameters()) parameters[name] = parameter.detach();
  return t.space.bind(parameters);
}

}  // namespace thalweg
