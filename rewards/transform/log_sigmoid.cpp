#include "rewards/transform/log_sigmoid.h"

namespace thalweg {

RewardBatch log_sigmoid(const RewardBatch& rewards) {
  return make_reward_batch(rewards.names_K, at::log_sigmoid(rewards.values_BK));
}

}  // namespace thalweg
