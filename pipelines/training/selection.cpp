#include "pipelines/training/selection.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "engine/advantages/ranking.h"
#include "engine/core/device.h"

namespace thalweg {
namespace {

// Of rows that come from one micro-batch or several: each tensor's, joined.
class Gatherer {
 public:
  explicit Gatherer(const std::vector<MicroBatch>& batches) : batches_(batches) {
    for (size_t i = 0; i < batches.size(); ++i)
      for (size_t row = 0; row < batches[i].rows.size(); ++row)
        places_.emplace_back(i, static_cast<int64_t>(row));
  }

  const SampleRow& row(int64_t of_rollout) const {
    const auto [batch, at] = places_.at(static_cast<size_t>(of_rollout));
    return batches_[batch].rows[static_cast<size_t>(at)];
  }

  MicroBatch gathered(const std::vector<int64_t>& rows) const {
    MicroBatch result;
    for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
      const auto from = place(rows[begin]).first;
      std::vector<int64_t> local;
      for (; end < rows.size() && place(rows[end]).first == from; ++end)
        local.push_back(place(rows[end]).second);
      append(result, part(batches_[from], local));
    }
    return result;
  }

 private:
  std::pair<size_t, int64_t> place(int64_t row) const { return places_.at(static_cast<size_t>(row)); }

  static MicroBatch part(const MicroBatch& batch, const std::vector<int64_t>& rows) {
    MicroBatch part;
    for (const int64_t row : rows) part.rows.push_back(batch.rows[static_cast<size_t>(row)]);
    part.conditioning = batch.conditioning.select(rows);
    part.trajectory = selected(batch.trajectory, rows);
    return part;
  }

  const std::vector<MicroBatch>& batches_;
  std::vector<std::pair<size_t, int64_t>> places_;  // micro-batch and row in it, by row of the rollout
};

// Rows of `sum`, then of `part`; what neither has stays undefined.
void join(at::Tensor& sum, const at::Tensor& part, int64_t dim = 0) {
  if (sum.defined()) sum = at::cat({sum, part}, dim);
}

}  // namespace

Trajectory selected(const Trajectory& from, const std::vector<int64_t>& rows) {
  const auto& some = from.x0_BCFHW.defined() ? from.x0_BCFHW : from.latents.at(0);
  const auto index = on_device(at::tensor(rows, at::kLong), some.device());
  const auto of = [&](const at::Tensor& x, int64_t dim) {
    return x.defined() ? x.index_select(dim, index) : x;
  };
  Trajectory part{from.schedule, of(from.x0_BCFHW, 0), from.trained_steps, {}, {}, of(from.log_probs_TB, 1)};
  for (const auto& x : from.latents) part.latents.push_back(of(x, 0));
  for (const auto& x : from.next_latents) part.next_latents.push_back(of(x, 0));
  return part;
}

void append(MicroBatch& sum, MicroBatch part) {
  if (sum.rows.empty()) {
    sum = std::move(part);
    return;
  }
  sum.rows.insert(sum.rows.end(), part.rows.begin(), part.rows.end());
  sum.conditioning = concatenate(sum.conditioning, part.conditioning);
  auto& a = sum.trajectory;
  const auto& b = part.trajectory;
  join(a.x0_BCFHW, b.x0_BCFHW);
  join(a.log_probs_TB, b.log_probs_TB, 1);
  for (size_t i = 0; i < a.latents.size(); ++i) {
    join(a.latents[i], b.latents[i]);
    join(a.next_latents[i], b.next_latents[i]);
  }
}

Selection selected(const std::vector<MicroBatch>& batches, std::vector<int64_t> rows, const GroupPlan& plan,
                   int64_t micro_batch) {
  const Gatherer gatherer(batches);
  const auto update_of_row = [&](int64_t row) {
    int64_t update = 0;
    while (gatherer.row(row).group >= plan.begin(update + 1)) ++update;
    return update;
  };
  Selection result;
  for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    const auto update = update_of_row(rows[begin]);
    while (end < rows.size() && static_cast<int64_t>(end - begin) < micro_batch &&
           update_of_row(rows[end]) == update)
      ++end;
    result.batches.push_back(gatherer.gathered(
        {rows.begin() + static_cast<int64_t>(begin), rows.begin() + static_cast<int64_t>(end)}));
  }
  result.rows = std::move(rows);
  return result;
}

Advantages selected(const Advantages& advantages, const std::vector<int64_t>& rows) {
  const auto index = at::tensor(rows, at::kLong);
  Advantages result{{}, advantages.used_B.index_select(0, index)};
  for (auto head : advantages.heads) {
    head.values_B = head.values_B.index_select(0, index);
    head.used_B = head.used_B.index_select(0, index);
    result.heads.push_back(std::move(head));
  }
  return result;
}

std::vector<int64_t> best_of_groups(const Scores& scores) {
  std::vector<int64_t> best;
  const auto& [total_B, valid_B] = scores.total;
  for (const auto& [group, rows] : ranked_groups(total_B, valid_B, scores.group_B))
    best.push_back(rows.front());
  return best;
}

std::vector<int64_t> best_and_worst_of_groups(const Scores& scores) {
  return best_and_worst_of_groups(scores.total, scores.group_B);
}

std::vector<int64_t> best_and_worst_of_groups(const CombinedReward& reward,
                                              const std::vector<int64_t>& group_B) {
  const auto value = reward.total_B.accessor<double, 1>();
  std::vector<int64_t> pairs;
  for (const auto& [group, rows] : ranked_groups(reward.total_B, reward.valid_B, group_B)) {
    if (rows.size() < 2) continue;
    const auto worst = std::find_if(rows.begin() + 1, rows.end(),
                                    [&](int64_t row) { return value[row] == value[rows.back()]; });
    pairs.insert(pairs.end(), {rows.front(), *worst});
  }
  return pairs;
}

Advantages weights(const at::Tensor& values_B, const at::Tensor& used_B) {
  return {{{.values_B = at::where(used_B, values_B.to(at::kDouble), 0.0), .used_B = used_B}}, used_B};
}

Advantages OneHead::advantages(const Scores& scores, Metrics&) {
  return weights(at::ones_like(scores.total.total_B), scores.total.valid_B);
}

}  // namespace thalweg
