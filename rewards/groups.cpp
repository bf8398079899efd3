#include "rewards/groups.h"

#include <map>

#include "rewards/nan_filled.h"

namespace thalweg {

std::vector<std::vector<int64_t>> samples_by_group(const std::vector<int64_t>& group_ids) {
  std::vector<std::vector<int64_t>> groups;
  std::map<int64_t, size_t> place;
  for (size_t b = 0; b < group_ids.size(); ++b) {
    if (group_ids[b] < 0) continue;
    const auto [at, is_new] = place.emplace(group_ids[b], groups.size());
    if (is_new) groups.emplace_back();
    groups[at->second].push_back(static_cast<int64_t>(b));
  }
  return groups;
}

Scored score_groups(Reward& reward, const ScoreInput& input) {
  const auto& info = reward.info();
  const auto batch = input.batch();
  std::vector<int64_t> handed;
  for (const auto& group : samples_by_group(input.group_ids))
    if (static_cast<int64_t>(group.size()) >= info.least_of_group)
      handed.insert(handed.end(), group.begin(), group.end());
  Scored all{nan_filled({batch, static_cast<int64_t>(info.dimensions_K.size())}), {}};
  if (const auto left = batch - static_cast<int64_t>(handed.size()); left > 0)
    all.failures.push_back({"compares the samples of a group, " + std::to_string(info.least_of_group) +
                                " at least, and was asked about fewer",
                            left});
  if (handed.empty()) return all;
  auto scored = reward.score(input.select(handed));
  all.values_BK.index_copy_(0, at::tensor(handed, at::kLong), scored.values_BK);
  all.failures.insert(all.failures.end(), scored.failures.begin(), scored.failures.end());
  return all;
}

}  // namespace thalweg
