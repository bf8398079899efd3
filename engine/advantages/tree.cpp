#include "engine/advantages/tree.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace thalweg {
namespace {

// Valid leaves by the name that `of_B` gives them, best first, equals in their order.
std::map<int64_t, std::vector<size_t>> ranked(const at::Tensor& reward_B, const at::Tensor& valid_B,
                                              const std::vector<int64_t>& of_B) {
  TORCH_CHECK(reward_B.size(0) == static_cast<int64_t>(of_B.size()), "one name a leaf");
  const auto reward = reward_B.to(at::kDouble).contiguous();
  const auto valid = valid_B.to(at::kBool).contiguous();
  const double* r = reward.const_data_ptr<double>();
  const bool* ok = valid.const_data_ptr<bool>();
  std::map<int64_t, std::vector<size_t>> leaves;
  for (size_t b = 0; b < of_B.size(); ++b)
    if (ok[b]) leaves[of_B[b]].push_back(b);
  for (auto& [name, rows] : leaves)
    std::stable_sort(rows.begin(), rows.end(), [&](size_t a, size_t b) { return r[a] > r[b]; });
  return leaves;
}

}  // namespace

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
  for (const auto& [parent, leaves] : ranked(reward_B, valid_B, parent_B)) kept[leaves.front()] = true;
  return kept;
}

std::vector<bool> extreme_leaves(const at::Tensor& reward_B, const at::Tensor& valid_B,
                                 const std::vector<int64_t>& group_B, double share) {
  std::vector<bool> kept(group_B.size(), false);
  for (const auto& [group, leaves] : ranked(reward_B, valid_B, group_B)) {
    const auto all = leaves.size();
    const auto keep =
        std::min(all, std::max<size_t>(2, static_cast<size_t>(std::floor(share * static_cast<double>(all)))));
    const auto best = keep / 2;
    for (size_t rank = 0; rank < all; ++rank)
      if (rank < best || rank >= all - (keep - best)) kept[leaves[rank]] = true;
  }
  return kept;
}

}  // namespace thalweg
