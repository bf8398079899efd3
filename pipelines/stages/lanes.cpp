#include "pipelines/stages/lanes.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "engine/optim/gradients.h"

namespace thalweg {
namespace {

using Heads = std::vector<TensorMap>;

void accumulate_heads(Heads& sums, Heads&& terms) {
  TORCH_CHECK(sums.size() == terms.size(), "one gradient a head");
  for (size_t h = 0; h < sums.size(); ++h) accumulate(sums[h], std::move(terms[h]));
}

}  // namespace

std::vector<TensorMap> lane_gradients(Workers& workers, int64_t lanes, int64_t micro_batches, int64_t heads,
                                      const std::function<std::vector<TensorMap>(int64_t)>& gradients_of) {
  const int64_t used = std::min(lanes, micro_batches);
  std::vector<Heads> sums(static_cast<size_t>(std::max<int64_t>(used, 1)), Heads(static_cast<size_t>(heads)));
  workers.for_each(used, [&](int64_t lane) {
    for (int64_t m = lane; m < micro_batches; m += used)
      accumulate_heads(sums[static_cast<size_t>(lane)], gradients_of(m));
  });
  for (size_t stride = 1; stride < sums.size(); stride *= 2)
    for (size_t i = 0; i + stride < sums.size(); i += 2 * stride)
      accumulate_heads(sums[i], std::move(sums[i + stride]));
  return std::move(sums[0]);
}

}  // namespace thalweg
