// A reward as a node of the autograd graph.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <vector>

#include "rewards/reward.h"

namespace thalweg {

/// Takes what went wrong in one call; on the thread that made it.
using FailureReport = std::function<void(const std::vector<CallFailure>&)>;

/// values_BK as Reward::score gives them, with a backward pass to the inputs that the reward differentiates
/// (info().gradient_of): where frames are decoded latents, both ways add up. Entries that were not scored
/// take no cotangent; a sample without a usable gradient gets NaN, so that nobody takes a part of its
/// gradient for the whole. `report` is told of failures, here and in each backward pass, and lives as long as
/// the graph. First derivatives only. Throws Error when the reward has no gradient.
at::Tensor differentiable_score(const std::shared_ptr<Reward>& reward, const ScoreInput& input,
                                const FailureReport& report);

}  // namespace thalweg
