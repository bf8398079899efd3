// Gradients of many micro-batches, summed in an order that depends neither on the number of workers nor on
// timing.
#pragma once

#include <functional>
#include <vector>

#include "engine/core/values.h"
#include "engine/parallel/workers.h"

namespace thalweg {

/// Micro-batch m belongs to lane m mod `lanes`; a lane adds its micro-batches in order, then lanes are added
/// pairwise in a fixed tree. `gradients_of(m)` runs on a worker and returns the gradients of that
/// micro-batch's share of the loss, one for each of `heads`; so does this.
std::vector<TensorMap> lane_gradients(Workers& workers, int64_t lanes, int64_t micro_batches, int64_t heads,
                                      const std::function<std::vector<TensorMap>(int64_t)>& gradients_of);

}  // namespace thalweg
