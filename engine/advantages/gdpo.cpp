#include "engine/advantages/gdpo.h"

#include <ATen/ATen.h>

#include <limits>

namespace thalweg {

std::vector<GroupAdvantages> column_advantages(const WeightedRewards& rewards,
                                               const std::vector<int64_t>& group_B, const GroupNorm& norm) {
  const auto K = static_cast<int64_t>(rewards.weights_K.size());
  TORCH_CHECK(K > 0 && rewards.values_BK.size(1) == K, "one weight a reward");
  auto unclamped = norm;
  unclamped.clip = std::numeric_limits<double>::infinity();
  std::vector<GroupAdvantages> columns;
  for (int64_t k = 0; k < K; ++k)
    columns.push_back(
        group_advantages(rewards.values_BK.select(1, k), rewards.valid_BK.select(1, k), group_B, unclamped));
  return columns;
}

GroupAdvantages joined(const std::vector<GroupAdvantages>& parts) {
  TORCH_CHECK(!parts.empty(), "no advantages to join");
  const auto n = static_cast<double>(parts.size());
  GroupAdvantages all;
  all.values_B = at::zeros_like(parts[0].values_B);
  all.used_B = at::zeros_like(parts[0].used_B);
  for (const auto& part : parts) {
    all.used_B = all.used_B.logical_or(part.used_B);
    all.zero_std_ratio += part.zero_std_ratio / n;
    all.reward_std_mean += part.reward_std_mean / n;
  }
  return all;
}

void standardise(GroupAdvantages& advantages, const GroupNorm& norm) {
  const auto used = advantages.values_B.masked_select(advantages.used_B);
  const auto n = static_cast<double>(used.numel()), freedom = n - static_cast<double>(norm.ddof);
  if (freedom <= 0.0) return;
  const auto mean = used.mean();
  const auto deviation = ((used - mean).square().sum() / freedom).sqrt() + norm.eps;
  const auto z_B = ((advantages.values_B - mean) / deviation).clamp(-norm.clip, norm.clip);
  advantages.values_B = at::where(advantages.used_B, z_B, 0.0);
}

GroupAdvantages gdpo_advantages(const WeightedRewards& rewards, const std::vector<int64_t>& group_B,
                                const GroupNorm& norm) {
  const auto columns = column_advantages(rewards, group_B, norm);
  auto sum = joined(columns);
  for (size_t k = 0; k < columns.size(); ++k) sum.values_B += rewards.weights_K[k] * columns[k].values_B;
  standardise(sum, norm);
  return sum;
}

}  // namespace thalweg
