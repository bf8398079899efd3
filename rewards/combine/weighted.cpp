#include "rewards/combine/weighted.h"

#include <cmath>
#include <limits>
#include <stdexcept>

namespace thalweg {

CombinedReward weighted(const RewardBatch& rewards, const std::vector<double>& weights_K) {
  if (static_cast<int64_t>(weights_K.size()) != rewards.dimensions())
    throw std::invalid_argument("weighted: one weight is needed for each column");
  const int64_t B = rewards.batch();
  auto total_B = at::zeros({B}, at::kDouble);
  auto valid_B = at::ones({B}, at::kBool);
  for (int64_t k = 0; k < rewards.dimensions(); ++k) {
    const double weight = weights_K[static_cast<size_t>(k)];
    if (!std::isfinite(weight)) throw std::invalid_argument("weighted: a weight is not finite");
    if (weight == 0) continue;
    total_B = total_B + weight * rewards.values_BK.select(1, k);
    valid_B = valid_B.logical_and(rewards.valid_BK.select(1, k));
  }
  // Finite terms can still overflow when they are added.
  valid_B = valid_B.logical_and(total_B.isfinite());
  return {total_B.masked_fill(valid_B.logical_not(), std::numeric_limits<double>::quiet_NaN()), valid_B};
}

}  // namespace thalweg
