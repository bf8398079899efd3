// What rewards said of a batch of samples, before and after transforms.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rewards/failure.h"

namespace thalweg {

/// K columns over B samples, raw as scored unless a transform made it. An entry that was not scored is NaN
/// with valid = false; it is never 0. Always made by make_reward_batch, so that both tensors agree.
struct RewardBatch {
  std::vector<std::string> names_K;          // "plugin/dimension"
  at::Tensor values_BK;                      // float64 on the CPU
  at::Tensor valid_BK;                       // bool on the CPU
  std::vector<RewardFailure> failures = {};  // of rewards that count; empty once transformed

  int64_t batch() const { return values_BK.size(0); }
  int64_t dimensions() const { return static_cast<int64_t>(names_K.size()); }
};

/// values_BK of any floating type and device; every entry that is not finite becomes NaN and invalid.
/// Gradients pass. Throws std::invalid_argument when the shape is not [B, number of names].
RewardBatch make_reward_batch(std::vector<std::string> names_K, const at::Tensor& values_BK);

/// The columns first .. first + count - 1.
RewardBatch columns(const RewardBatch& batch, int64_t first, int64_t count);

/// All columns of all parts, in order. Parts have the same B; at least one part.
RewardBatch concatenate_columns(const std::vector<RewardBatch>& parts);

/// The samples and failures of all parts, one part after the other. Parts have the same names; at least one
/// part.
RewardBatch concatenate_samples(const std::vector<RewardBatch>& parts);

}  // namespace thalweg
