#include "pipelines/stages/lanes.h"

#include <algorithm>

#include "engine/optim/gradients.h"

namespace thalweg {

TensorMap lane_gradients(Workers& workers, int64_t lanes, int64_t micro_batches,
                         const std::function<TensorMap(int64_t)>& gradient_of) {
  const int64_t used = std::min(lanes, micro_batches);
  std::vector<TensorMap> sums(static_cast<size_t>(std::max<int64_t>(used, 1)));
  workers.for_each(used, [&](int64_t lane) {
    for (int64_t m = lane; m < micro_batches; m += used)
      accumulate(sums[static_cast<size_t>(lane)], gradient_of(m));
  });
  for (size_t stride = 1; stride < sums.size(); stride *= 2)
    for (size_t i = 0; i + stride < sums.size(); i += 2 * stride)
      accumulate(sums[i], std::move(sums[i + stride]));
  return std::move(sums[0]);
}

}  // namespace thalweg
