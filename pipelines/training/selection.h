// Some samples of a rollout in micro-batches of their own: for methods that train on the best of a group, or
// on pairs, so that nothing is computed for the rest.
#pragma once

#include "pipelines/training/aggregation.h"

namespace thalweg {

struct Selection {
  std::vector<MicroBatch> batches;  // without frames, rewards and picture statistics
  std::vector<int64_t> rows;        // of the rollout, in the order that they have here
};

/// `rows` of the rollout in their order, groups ascending, at most `micro_batch` in a micro-batch, none of
/// which belongs to two updates of `plan`. `micro_batch` a multiple of n keeps n rows of one update together.
Selection selected(const std::vector<MicroBatch>& batches, std::vector<int64_t> rows, const GroupPlan& plan,
                   int64_t micro_batch);

/// Of the selected samples.
Advantages selected(const Advantages& advantages, const std::vector<int64_t>& rows);

}  // namespace thalweg
