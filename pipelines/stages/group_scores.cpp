#include "pipelines/stages/group_scores.h"

#include <utility>

#include "rewards/groups.h"

namespace thalweg {
namespace {

at::Tensor comparing_columns(const RewardSet& rewards) {
  const auto comparing = rewards.comparing_K();
  std::vector<int64_t> columns;
  for (size_t k = 0; k < comparing.size(); ++k)
    if (comparing[k]) columns.push_back(static_cast<int64_t>(k));
  return at::tensor(columns, at::kLong);
}

}  // namespace

GroupScores::GroupScores(const RewardSet& rewards, const std::vector<SampleRow>& rows)
    : rewards_(rewards), columns_(comparing_columns(rewards)) {
  for (const auto& row : rows) {
    TORCH_CHECK(row.group >= 0, "a row without a group is compared with none");
    group_of_row_.push_back(row.group);
    ++groups_[row.group].missing;
  }
}

std::vector<GroupScores::Group*> GroupScores::whole_by(int64_t number, const MicroBatch& batch,
                                                       const ScoreInput& input, const at::Tensor& finite_B) {
  const auto parts = samples_by_group(input.group_ids);
  const auto finite = finite_B.accessor<bool, 1>();
  const std::lock_guard lock(mutex_);
  open_[number] = static_cast<int64_t>(parts.size());
  for (const auto& samples : parts) {
    std::vector<int64_t> usable;
    for (const auto b : samples)
      if (finite[b]) usable.push_back(b);
    auto& group = groups_.at(input.group_ids[static_cast<size_t>(samples.front())]);
    group.parts[number] = {input.select(usable), usable};
  }
  std::vector<Group*> whole;
  for (auto row = batch.begin; row < batch.end; ++row) {
    auto& group = groups_.at(group_of_row_[static_cast<size_t>(row)]);
    if (--group.missing == 0) whole.push_back(&group);
  }
  return whole;
}

void GroupScores::score(const Group& group, std::vector<MicroBatch>& batches) {
  std::vector<ScoreInput> inputs;
  for (const auto& [number, part] : group.parts)
    if (!part.samples.empty()) inputs.push_back(part.input);
  if (inputs.empty()) return;
  const auto scored = rewards_.score(concatenate(inputs), Scoring::groups);
  const std::lock_guard lock(mutex_);
  int64_t begin = 0;
  for (const auto& [number, part] : group.parts) {
    auto& rewards = batches[static_cast<size_t>(number)].rewards;
    const auto count = static_cast<int64_t>(part.samples.size());
    if (count == 0) continue;
    if (begin == 0) add_failures(rewards.failures, scored.failures);
    const auto rows = at::tensor(part.samples, at::kLong).unsqueeze(1);
    const auto take = [&](const at::Tensor& x) {
      return x.narrow(0, begin, count).index_select(1, columns_);
    };
    rewards.values_BK.index_put_({rows, columns_}, take(scored.values_BK));
    rewards.valid_BK.index_put_({rows, columns_}, take(scored.valid_BK));
    begin += count;
  }
}

std::vector<int64_t> GroupScores::add(int64_t number, std::vector<MicroBatch>& batches,
                                      const ScoreInput& input, const at::Tensor& finite_B) {
  std::vector<int64_t> complete;
  for (auto* group : whole_by(number, batches[static_cast<size_t>(number)], input, finite_B)) {
    score(*group, batches);
    const std::lock_guard lock(mutex_);
    for (const auto& [of, part] : std::exchange(group->parts, {}))
      if (--open_.at(of) == 0) complete.push_back(of);
  }
  return complete;
}

}  // namespace thalweg
