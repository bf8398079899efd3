#include "rewards/transform/identity.h"

namespace thalweg {

RewardBatch identity(const RewardBatch& rewards) {
  return rewards;
}

}  // namespace thalweg
