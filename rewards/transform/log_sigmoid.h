// The logarithm of the logistic function: for rewards that are logits of "good". Range (-inf, 0].
#pragma once

#include "rewards/reward_batch.h"

namespace thalweg {

/// log(1 / (1 + exp(-r))), without overflow at either end.
RewardBatch log_sigmoid(const RewardBatch& rewards);

}  // namespace thalweg
