// Brings a reward to another scale: r -> scale r + shift, then into [low, high] if asked.
#pragma once

#include "engine/core/fields.h"
#include "rewards/reward_batch.h"

namespace thalweg {

struct AffineOptions {
  double scale = 1;
  double shift = 0;
  bool clip = false;
  double low = 0;   // of the result; used with clip
  double high = 1;  // >= low
};

/// Throws std::invalid_argument when low > high.
RewardBatch affine(const RewardBatch& rewards, const AffineOptions& options);

void describe(Fields& fields, AffineOptions& options);

}  // namespace thalweg
