#include "pipelines/sampling/steered.h"

#include <utility>

#include "pipelines/steering/steered_draw.h"
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
  in.velocity = guided(counted(std::move(in.velocity), cost, clock_));
  const auto first = in.slot_B.front() / particles_of(o.steering);
  auto trajectory =
      sample_steered({model_, *rewards_, o.steering, o.sampler, window_, o.parallel.micro_batch, clock_},
                     std::move(in), cost);
  const std::lock_guard lock(mutex_);
  costs_[first] = std::move(cost);
  return trajectory;
}

SteeringCost SteeredSampler::take_cost(int64_t first) {
  const std::lock_guard lock(mutex_);
  auto node = costs_.extract(first);
  return node ? std::move(node.mapped()) : SteeringCost{};
}

}  // namespace thalweg
