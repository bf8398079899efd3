// Rewards in a tree of samples (BranchGRPO, Li et al. 2025, arXiv 2509.06040, section 3): a node is worth the
// mean of the leaves below it; nodes of one depth are then compared like the samples of a group (group.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace thalweg {

/// Rows are nodes.
struct NodeValues {
  at::Tensor values;  // float64; NaN where not valid
  at::Tensor valid;   // bool: a leaf below it is
};

/// Mean over the valid leaves below each of `nodes` nodes, column by column: leaf b lies below node_B[b], or
/// below none of them (-1). `values` [B] or [B,K] with `valid` of the same shape.
NodeValues node_means(const at::Tensor& values, const at::Tensor& valid, const std::vector<int64_t>& node_B,
                      int64_t nodes);

/// Width pruning "Parent-Top1": of leaves with the same parent the best, the first of equals. None where no
/// leaf is valid.
std::vector<bool> best_children(const at::Tensor& reward_B, const at::Tensor& valid_B,
                                const std::vector<int64_t>& parent_B);

/// Width pruning "Extreme Selection": of each group's n valid leaves the max(2, n share) with the highest and
/// the lowest rewards, half each, the odd one low; all where n is below 2.
std::vector<bool> extreme_leaves(const at::Tensor& reward_B, const at::Tensor& valid_B,
                                 const std::vector<int64_t>& group_B, double share);

}  // namespace thalweg
