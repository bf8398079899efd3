// A reward's gradient, held against differences of its values.
#pragma once

#include <optional>
#include <string>

#include "rewards/reward.h"

namespace thalweg {

struct GradientTrial {
  std::string dimension;
  std::string problem;         // why there is nothing to compare; "": there is
  bool finite = false;         // all of it
  std::optional<bool> agrees;  // with the differences, along itself and along random signs
  double slope = 0.0;          // along itself: what the gradient says,
  double difference = 0.0;     // and what the values do
};

/// Of dimension `k`, for an input of one sample, by its frames. Their range is narrowed a little, so that
/// both neighbours are pictures too. Throws Error only as Reward::gradient does.
GradientTrial try_gradient(Reward& reward, const ScoreInput& input, int64_t k);

}  // namespace thalweg
