#include "engine/advantages/group.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace thalweg {
namespace {

struct Moments {
  double mean = 0.0, std = 0.0;
};

Moments moments_of(const std::vector<double>& values, int64_t ddof) {
  Moments m;
  const auto n = static_cast<double>(values.size()), freedom = n - static_cast<double>(ddof);
  for (const double v : values) m.mean += v / n;
  if (freedom > 0.0)
    for (const double v : values) m.std += (v - m.mean) * (v - m.mean) / freedom;
  m.std = std::sqrt(m.std);
  return m;
}

std::vector<double> without_smallest(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const auto count =
      std::min(static_cast<size_t>(share * static_cast<double>(values.size())), values.size() - 1);
  values.erase(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count));
  return values;
}

}  // namespace

void check_masked(const GroupAdvantages& advantages, const at::Tensor& valid_B) {
  const auto& [values_B, used_B, zero_std_ratio, reward_std_mean] = advantages;
  TORCH_CHECK(values_B.isfinite().all().item<bool>(), "an advantage is not finite");
  TORCH_CHECK(std::isfinite(zero_std_ratio) && std::isfinite(reward_std_mean), "a statistic is not finite");
  TORCH_CHECK(!used_B.logical_and(valid_B.logical_not()).any().item<bool>(),
              "a sample whose reward failed would be trained on");
  TORCH_CHECK(values_B.masked_select(used_B.logical_not()).eq(0.0).all().item<bool>(),
              "a masked sample has an advantage");
}

GroupAdvantages group_advantages(const at::Tensor& reward_B, const at::Tensor& valid_B,
                                 const std::vector<int64_t>& group_B, const GroupNorm& norm) {
  TORCH_CHECK(reward_B.size(0) == static_cast<int64_t>(group_B.size()), "one group id a sample");
  const auto reward = reward_B.to(at::kDouble).contiguous();
  const auto valid = valid_B.to(at::kBool).contiguous();
  const double* r = reward.const_data_ptr<double>();
  const bool* ok = valid.const_data_ptr<bool>();
  std::map<int64_t, std::vector<double>> scored;
  std::vector<double> all;
  for (size_t i = 0; i < group_B.size(); ++i) {
    if (!ok[i]) continue;
    TORCH_CHECK(std::isfinite(r[i]), "sample ", i, " passes for scored with the reward ", r[i]);
    scored[group_B[i]].push_back(r[i]);
    all.push_back(r[i]);
  }
  GroupAdvantages result;
  result.values_B = at::zeros({reward.size(0)}, at::kDouble);
  result.used_B = at::zeros({reward.size(0)}, at::kBool);
  if (all.empty()) return result;
  // One sample has no spread: it says nothing of its group's.
  std::map<int64_t, Moments> by_group;
  for (const auto& [group, values] : scored)
    if (values.size() > 1)
      by_group[group] =
          moments_of(norm.trimmed > 0.0 ? without_smallest(values, norm.trimmed) : values, norm.ddof);
  const auto groups = static_cast<double>(by_group.size());
  for (const auto& [group, moments] : by_group) {
    result.zero_std_ratio += moments.std < 1e-12 ? 1.0 / groups : 0.0;
    result.reward_std_mean += moments.std / groups;
  }
  const double batch_std = moments_of(all, norm.ddof).std;
  auto* values = result.values_B.mutable_data_ptr<double>();
  auto* used = result.used_B.mutable_data_ptr<bool>();
  for (size_t i = 0; i < group_B.size(); ++i) {
    const auto found = by_group.find(group_B[i]);
    if (!ok[i] || found == by_group.end()) continue;
    const auto& group = found->second;
    const double std = norm.deviation == DeviationOver::group ? group.std : batch_std;
    if (group.std >= norm.least)
      values[i] = std::clamp((r[i] - group.mean) / (std + norm.eps), -norm.clip, norm.clip);
    used[i] = true;
  }
  return result;
}

}  // namespace thalweg
