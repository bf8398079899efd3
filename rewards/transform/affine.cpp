#include "rewards/transform/affine.h"

#include <stdexcept>

namespace thalweg {

RewardBatch affine(const RewardBatch& rewards, const AffineOptions& options) {
  auto values_BK = rewards.values_BK * options.scale + options.shift;
  if (options.clip) {
    if (options.low > options.high) throw std::invalid_argument("affine: low is above high");
    values_BK = values_BK.clamp(options.low, options.high);  // keeps NaN
  }
  return make_reward_batch(rewards.names_K, values_BK);
}

void describe(Fields& fields, AffineOptions& options) {
  constexpr double kMost = 1e9;
  fields.number({"scale", "factor of the reward"}, options.scale, -kMost, kMost);
  fields.number({"shift", "added after the factor"}, options.shift, -kMost, kMost);
  fields.optional_object({"clip", "bounds of the result; absent: none"}, options.clip, [&](Fields& clip) {
    clip.number({"low", "smallest result"}, options.low, -kMost, kMost);
    clip.number({"high", "largest result, not below low"}, options.high, -kMost, kMost);
  });
}

}  // namespace thalweg
