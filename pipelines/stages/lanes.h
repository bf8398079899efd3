// Gradients of many micro-batches, summed in an order that depends neither on the number of workers nor on
// timing.
#pragma once

#include <functional>

#include "engine/core/values.h"
#include "engine/parallel/workers.h"

namespace thalweg {

/// Micro-batch m belongs to lane m mod `lanes`; a lane adds its micro-batches in order, then lanes are added
/// pairwise in a fixed tree. `gradient_of(m)` runs on a worker and returns the gradient of that micro-batch's
/// share of the loss.
TensorMap lane_gradients(Workers& workers, int64_t lanes, int64_t micro_batches,
                         const std::function<TensorMap(int64_t)>& gradient_of);

}  // namespace thalweg
