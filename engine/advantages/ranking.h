// Samples of each group by their value.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <vector>

namespace thalweg {

/// Valid rows of each group, groups ascending: the largest value first, equals in their order. Asserts one
/// group id a row.
std::map<int64_t, std::vector<int64_t>> ranked_groups(const at::Tensor& value_B, const at::Tensor& valid_B,
                                                      const std::vector<int64_t>& group_B);

/// Of ranked rows the first keep/2 and the last keep - keep/2; all where there are no more than `keep`.
std::vector<int64_t> extremes(const std::vector<int64_t>& ranked, int64_t keep);

}  // namespace thalweg
