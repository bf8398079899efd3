// A reward as a node of the autograd graph.
#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "rewards/reward_model.h"

namespace thalweg {

/// values_BK as RewardModel::score gives them, with a backward pass to input.frames_BF3HW (or to the
/// latents, when those are what the reward differentiates) through the plugin's VJP. Entries that were not
/// scored take no cotangent; a sample without a usable gradient gets 0, and last_error() says why the call
/// failed if it did. First derivatives only. Throws Error when the reward has no gradient.
at::Tensor differentiable_score(const std::shared_ptr<RewardModel>& model, const ScoreInput& input);

}  // namespace thalweg
