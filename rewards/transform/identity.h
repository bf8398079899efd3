// The reward as it was scored.
#pragma once

#include "rewards/reward_batch.h"

namespace thalweg {

RewardBatch identity(const RewardBatch& rewards);

}  // namespace thalweg
