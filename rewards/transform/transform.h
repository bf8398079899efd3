// The reward transforms by name, as a job chooses them: one value of options a reward.
#pragma once

#include <string>

#include "engine/core/fields.h"
#include "rewards/reward_batch.h"
#include "rewards/transform/affine.h"

namespace thalweg {

struct TransformOptions {
  std::string name = "identity";
  AffineOptions affine;  // of "affine"; the others have no options
};

/// A new batch with the same names; what was invalid stays so. Throws std::invalid_argument for a name
/// that describe() would not have let in.
RewardBatch apply_transform(const TransformOptions& options, const RewardBatch& rewards);

/// The fields "name" and, beside it, those of the named transform.
void describe(Fields& fields, TransformOptions& options);

}  // namespace thalweg
