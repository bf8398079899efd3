#include "engine/advantages/ranking.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace thalweg {

std::map<int64_t, std::vector<int64_t>> ranked_groups(const at::Tensor& value_B, const at::Tensor& valid_B,
                                                      const std::vector<int64_t>& group_B) {
  TORCH_CHECK(value_B.size(0) == static_cast<int64_t>(group_B.size()), "one group id a row");
  const auto values = value_B.to(at::kDouble).contiguous();
  const auto valid = valid_B.to(at::kBool).contiguous();
  const double* value = values.const_data_ptr<double>();
  const bool* ok = valid.const_data_ptr<bool>();
  std::map<int64_t, std::vector<int64_t>> groups;
  for (size_t i = 0; i < group_B.size(); ++i)
    if (ok[i]) groups[group_B[i]].push_back(static_cast<int64_t>(i));
  for (auto& [group, rows] : groups)
    std::stable_sort(rows.begin(), rows.end(), [&](int64_t a, int64_t b) { return value[a] > value[b]; });
  return groups;
}

std::vector<int64_t> extremes(const std::vector<int64_t>& ranked, int64_t keep) {
  const auto all = static_cast<int64_t>(ranked.size());
  if (all <= keep) return ranked;
  std::vector<int64_t> kept(ranked.begin(), ranked.begin() + keep / 2);
  kept.insert(kept.end(), ranked.end() - (keep - keep / 2), ranked.end());
  return kept;
}

}  // namespace thalweg
