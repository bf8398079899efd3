// What a steered run cost and what became of its particles, for result.json.
#pragma once

#include "pipelines/steering/cost.h"

namespace thalweg {

/// {"samples", counts of SteeringCost, "network_evaluations_per_sample", "reward_calls_per_sample"} and, of
/// methods with particles or candidates, means over all groups: "ess" and "survivors" (share of particles or
/// candidates with offspring) and "unscored" (how many of them the reward left out) of each step,
/// "unique_ancestors" (how many of the first particles have offspring in the end), "weighted_reward" (of all
/// particles by their weights: an estimate of the tilted law's mean) and "log_evidence" (of log E e^{lambda
/// r}: the log of the mean of the groups' estimates, each of which is unbiased).
/// `records`: of the micro-batches, in order; none for methods without particles or candidates.
Json steering_summary(const std::vector<ParticleRecord>& records, int64_t samples, const SteeringCost& cost);

/// The summary in a line, for people.
std::string steering_line(const Json& summary);

}  // namespace thalweg
