// Which particles of a group are handed back.
#pragma once

#include <string>
#include <vector>

#include "samplers/sampler.h"

namespace thalweg {

/// Rows of the particles to keep, in order.
using Selection = std::vector<int64_t> (*)(const ParticleRecord& record, const SamplerInput& input);

/// One of each group, by weight: a fair sample of what the particles stand for.
std::vector<int64_t> draw_by_weight(const ParticleRecord& record, const SamplerInput& input);

/// The one with the highest reward of each group (rewards_B, which the method must have left); the first
/// where none was scored.
std::vector<int64_t> best_by_reward(const ParticleRecord& record, const SamplerInput& input);

/// All of them, with their weights.
std::vector<int64_t> all_particles(const ParticleRecord& record, const SamplerInput& input);

/// "draw", "best", "all"; asserts on another name.
Selection selection_named(const std::string& name);
const std::vector<std::string>& selection_names();

/// The trajectory with the latents of the selected particles alone. The record stays that of all of them.
Trajectory selected(Trajectory trajectory, const SamplerInput& input, Selection selection);

}  // namespace thalweg
