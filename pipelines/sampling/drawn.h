// What a micro-batch of a `sample` job leaves for the end of the run.
#pragma once

#include <optional>
#include <vector>

#include "engine/core/json.h"
#include "pipelines/steering/cost.h"
#include "rewards/reward_batch.h"

namespace thalweg {

struct Drawn {
  int64_t first = 0, count = 0;  // of the samples that the job asks for
  std::vector<int64_t> prompts;  // of each sample that came back: one for each asked for, or its particles
  at::Tensor latents, frames;    // of those; undefined unless they are to be saved
  at::Tensor grid_N3HW;          // of those that the grid shows
  RewardBatch rewards;           // raw; no columns without rewards
  int64_t not_finite = 0;        // samples of those that came back
  std::optional<ParticleRecord> particles = {};
  SteeringCost cost = {};
};

/// On disk: tensors under "FIRST.name", and the rest. drawn_from() throws Json::exception or
/// std::out_of_range for what the other two did not write.
TensorMap tensors_of(const Drawn& drawn);
Json state_of(const Drawn& drawn);
Drawn drawn_from(const Json& state, const TensorMap& tensors);

/// Of all micro-batches in order: a tensor of each that has it, undefined where none has.
at::Tensor gathered(const std::vector<Drawn>& all, at::Tensor Drawn::*member);

/// `log_weights` and `ancestors` of samples that came back with all their particles; else nothing.
TensorMap particle_weights_of(const std::vector<Drawn>& all);

}  // namespace thalweg
