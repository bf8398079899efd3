// What steering costs, in samples: one evaluation of the network for a batch of B counts B (2 B under
// classifier-free guidance).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/json.h"
#include "engine/core/values.h"
#include "pipelines/stages/event.h"
#include "pipelines/stages/phase_clock.h"
#include "pipelines/steering/step_scores.h"
#include "rewards/failure.h"

namespace thalweg {

/// Of one micro-batch, which one thread draws, or the sum of several.
struct SteeringCost {
  int64_t network_evaluations = 0, network_gradients = 0;
  int64_t reward_calls = 0, reward_gradients = 0, rewards_not_scored = 0;
  int64_t failed_gradients = 0;  // those of reward_gradients that pull nowhere: no value, or no gradient
  std::vector<RewardFailure> failures = {};

  void add(const SteeringCost& other);
  /// Those of kSteeringCounts.
  Json counts() const;
};

/// Its counts by their names in result.json.
inline constexpr std::pair<const char*, int64_t SteeringCost::*> kSteeringCounts[] = {
    {"network_evaluations", &SteeringCost::network_evaluations},
    {"network_gradients", &SteeringCost::network_gradients},
    {"reward_calls", &SteeringCost::reward_calls},
    {"reward_gradients", &SteeringCost::reward_gradients},
    {"rewards_not_scored", &SteeringCost::rewards_not_scored},
    {"failed_gradients", &SteeringCost::failed_gradients}};

/// The event "reward_failed" of rewards that failed while they steered; none when none did.
std::optional<Event> steering_failures(const SteeringCost& cost);

/// Why the steering came to nothing: of all the values or gradients that it asked for not one was scored, not
/// one could be used. Else empty.
std::string came_to_nothing(const SteeringCost& cost);

/// Counts a call of the reward for these latents.
void count_reward(const at::Tensor& x_BCFHW, SteeringCost& cost);

/// Counts those of the values, on the CPU, that are not finite.
void count_scored(const at::Tensor& values_B, SteeringCost& cost);

/// Counts the calls, and measures them as the phase "network", their backward passes as "gradient".
Velocity counted(Velocity velocity, SteeringCost& cost, PhaseClock& clock);

/// Counts samples whose gradient gets lost on its way through the velocity; `scores` are told of them.
Velocity watched(Velocity velocity, SteeringCost& cost, StepScores* scores = nullptr);

/// The same velocity, asked for at most `rows` samples at once.
Velocity in_parts(Velocity velocity, int64_t rows);

}  // namespace thalweg
