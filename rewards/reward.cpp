#include "rewards/reward.h"

#include <algorithm>

namespace thalweg {

bool wants_frames(const std::vector<RewardInfo>& rewards) {
  return std::any_of(rewards.begin(), rewards.end(),
                     [](const RewardInfo& info) { return info.required.frames || info.optional.frames; });
}

}  // namespace thalweg
