#include "pipelines/training/selection.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <utility>

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
    std::vector<MicroBatch> parts;
    for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
      const auto from = place(rows[begin]).first;
      std::vector<int64_t> local;
      for (; end < rows.size() && place(rows[end]).first == from; ++end)
        local.push_back(place(rows[end]).second);
      parts.push_back(part(batches_[from], local));
    }
    result = std::move(parts.front());
    for (size_t i = 1; i < parts.size(); ++i) append(result, parts[i]);
    for (const int64_t of_rollout : rows) result.rows.push_back(row(of_rollout));
    return result;
  }

 private:
  std::pair<size_t, int64_t> place(int64_t row) const { return places_.at(static_cast<size_t>(row)); }

  static MicroBatch part(const MicroBatch& batch, const std::vector<int64_t>& rows) {
    const auto& from = batch.trajectory;
    const auto index = at::tensor(rows, at::kLong).to(from.x0_BCFHW.device());
    MicroBatch part;
    part.conditioning = batch.conditioning.select(rows);
    part.trajectory = {from.schedule, from.x0_BCFHW.index_select(0, index), from.trained_steps, {}, {}, {}};
    for (const auto& x : from.latents) part.trajectory.latents.push_back(x.index_select(0, index));
    for (const auto& x : from.next_latents) part.trajectory.next_latents.push_back(x.index_select(0, index));
    if (from.log_probs_TB.defined()) part.trajectory.log_probs_TB = from.log_probs_TB.index_select(1, index);
    return part;
  }

  static void append(MicroBatch& sum, const MicroBatch& part) {
    auto& a = sum.trajectory;
    const auto& b = part.trajectory;
    sum.conditioning = concatenate(sum.conditioning, part.conditioning);
    a.x0_BCFHW = at::cat({a.x0_BCFHW, b.x0_BCFHW});
    for (size_t i = 0; i < a.latents.size(); ++i) {
      a.latents[i] = at::cat({a.latents[i], b.latents[i]});
      a.next_latents[i] = at::cat({a.next_latents[i], b.next_latents[i]});
    }
    if (a.log_probs_TB.defined()) a.log_probs_TB = at::cat({a.log_probs_TB, b.log_probs_TB}, 1);
  }

  const std::vector<MicroBatch>& batches_;
  std::vector<std::pair<size_t, int64_t>> places_;  // micro-batch and row in it, by row of the rollout
};

// The first row of largest `sign` times reward among `rows`, which are not empty.
int64_t first_best(const at::Tensor& reward_B, const std::vector<int64_t>& rows, double sign) {
  const auto* reward = reward_B.const_data_ptr<double>();
  return *std::max_element(rows.begin(), rows.end(),
                           [&](int64_t a, int64_t b) { return sign * reward[a] < sign * reward[b]; });
}

// Scored rows of each group, groups ascending.
std::map<int64_t, std::vector<int64_t>> scored_rows(const Scores& scores) {
  std::map<int64_t, std::vector<int64_t>> rows;
  for (size_t i = 0; i < scores.group_B.size(); ++i)
    if (scores.total.valid_B[static_cast<int64_t>(i)].item<bool>())
      rows[scores.group_B[i]].push_back(static_cast<int64_t>(i));
  return rows;
}

}  // namespace

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
  for (const auto& [group, rows] : scored_rows(scores))
    best.push_back(first_best(scores.total.total_B, rows, 1.0));
  return best;
}

std::vector<int64_t> best_and_worst_of_groups(const Scores& scores) {
  std::vector<int64_t> pairs;
  for (auto& [group, rows] : scored_rows(scores)) {
    if (rows.size() < 2) continue;
    pairs.push_back(first_best(scores.total.total_B, rows, 1.0));
    auto others = rows;
    std::erase(others, pairs.back());
    pairs.push_back(first_best(scores.total.total_B, others, -1.0));
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
