// The "steering" list of a `sample` job: samples are led to the rewards without training. Entries are
// guidance (a change of the velocity; any number of them, applied in the order of the list after
// classifier-free guidance) or a way of sampling (particles, look-ahead; one at most).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/core/chosen.h"
#include "pipelines/sections.h"
#include "pipelines/steering/method.h"

namespace thalweg {

/// Methods by name (pipelines/builtin.cpp).
const Chosen<SteeringMethod>::Table& steering_table();

/// One entry of the list, and where it stands.
struct SteeringEntry {
  Chosen<SteeringMethod> method;
  std::string pointer;
  std::string choice;  // the key that chose what it asks for: its name
};
void describe(Fields& fields, SteeringEntry& entry);

/// How the samples of a job are drawn.
struct Steering {
  int64_t particles = 1;  // rows of the sampler's input for each sample
  Guidance guidance;
  std::function<Trajectory(const SamplerInput&)> sample;  // empty: the job's own sampler
};

/// Samples that are drawn together for one that is asked for.
int64_t particles_of(const std::vector<SteeringEntry>& entries);

/// Throws Error at the entry for methods that do not go together, with the sampler or without rewards.
void check_steering(const std::vector<SteeringEntry>& entries, const SamplerSection& sampler,
                    const std::vector<RewardSpec>& rewards);

/// The rewards that an entry follows: those for process where it scores noisy latents, else those for guide.
RewardUse followed_by(const SteeringEntry& entry);
std::vector<RewardUse> followed_by(const std::vector<SteeringEntry>& entries);

/// Throws Error at the entry for a method that asks for more than the rewards can do, naming the methods that
/// would work.
void require_abilities(const std::vector<SteeringEntry>& entries, const RewardSet& rewards);

/// `schedule`: of the sampler; `reward_for` gives the rewards that serve a use (followed_by); `led` is told
/// of what a way of sampling adds to the velocity (of guidance: traced).
Steering make_steering(const std::vector<SteeringEntry>& entries, const SamplerSection& sampler,
                       StepWindow window, const Schedule& schedule,
                       const std::function<RewardValue(RewardUse)>& reward_for, uint64_t seed,
                       const GuidanceSink& led = {});

}  // namespace thalweg
