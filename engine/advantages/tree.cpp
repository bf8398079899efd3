#include "engine/advantages/tree.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/advantages/ranking.h"

namespace thalweg {
NodeValues node_means(const at::Tensor& values, const at::Tensor& valid, const std::vector<int64_t>& node_B,
                      int64_t nodes) {
  TORCH_CHECK(values.size(0) == static_cast<int64_t>(node_B.size()) && values.sizes() == valid.sizes(),
              "one node a leaf");
  const auto node = at::tensor(node_B, at::kLong);
  const auto below = node.ge(0).nonzero().flatten();
  auto sizes = values.sizes().vec();
  sizes[0] = nodes;
  const auto sum_of = [&](const at::Tensor& leaves) {
    return at::zeros(sizes, at::kDouble)
        .index_add(0, node.index_select(0, below), leaves.to(at::kDouble).index_select(0, below));
  };
  const auto count = sum_of(valid);
  const auto any = count > 0.0;
  const auto sum = sum_of(at::where(valid, values.to(at::kDouble), 0.0));
  return {at::where(any, sum / count, std::numeric_limits<double>::quiet_NaN()), any};
}

std::vector<bool> best_children(const at::Tensor& reward_B, const at::Tensor& valid_B,
                                const std::vector<int64_t>& parent_B) {
  std::vector<bool> kept(parent_B.size(), false);
  for (const auto& [parent, leaves] : ranked_groups(reward_B, valid_B, parent_B))
    kept[static_cast<size_t>(leaves.front())] = true;
  return kept;
}

std::vector<bool> extreme_leaves(const at::Tensor& reward_B, const at::Tensor& valid_B,
                                 const std::vector<int64_t>& group_B, double share) {
  std::vector<bool> kept(group_B.size(), false);
  for (const auto& [group, leaves] : ranked_groups(reward_B, valid_B, group_B)) {
    const auto count = static_cast<int64_t>(std::floor(share * static_cast<double>(leaves.size())));
    for (const int64_t leaf : extremes(leaves, std::max<int64_t>(2, count)))
      kept[static_cast<size_t>(leaf)] = true;
  }
  return kept;
}

}  // namespace thalweg
