#include "pipelines/training/aggregation.h"

#include <ATen/ATen.h>

#include <utility>

namespace thalweg {

void describe(Fields& f, GroupNorm& norm) {
  f.number({"adv_clip_max", "advantages are clamped to +- this"}, norm.clip, 1e-3, 1e3);
  bool global = norm.deviation == DeviationOver::batch;
  f.boolean(
      {"global_std",
       "divide by the deviation of all samples instead of the group's; false unless given with a way to "
       "aggregate that is published so (gdpo, correlation)"},
      global);
  norm.deviation = global ? DeviationOver::batch : DeviationOver::group;
  f.object({"std", "the deviation that advantages are divided by"}, [&](Fields& s) {
    s.integer({"ddof", "1: the unbiased one, divided by one sample less"}, norm.ddof, 0, 1);
    s.number({"eps", "added to it"}, norm.eps, 1e-12, 1.0);
    s.number({"least", "of a group: below it the advantages of the group are 0"}, norm.least, 0.0, 1e3);
  });
}

void describe(Fields& f, AdvantageOptions& o) {
  const auto before = o.aggregation.name();
  f.object({"aggregation", "how several rewards become one direction"}, [&](Fields& a) {
    o.aggregation.describe(a, {"name", "way"}, aggregation_table());
  });
  // Before the keys of the norm are read, so that a job that names a deviation gets that one.
  if (o.aggregation.name() != before)
    o.norm.deviation = o.aggregation->deviation().value_or(o.norm.deviation);
  describe(f, o.norm);
}

std::vector<size_t> trained_columns(const std::vector<double>& weights_K) {
  std::vector<size_t> columns;
  for (size_t k = 0; k < weights_K.size(); ++k)
    if (weights_K[k] != 0.0) columns.push_back(k);
  return columns;
}

WeightedRewards trained_rewards(const Scores& scores) {
  const auto columns = trained_columns(scores.weights_K);
  if (columns.empty()) return {scores.total.total_B.unsqueeze(1), scores.total.valid_B.unsqueeze(1), {1.0}};
  WeightedRewards rewards;
  std::vector<at::Tensor> values, valid;
  for (const auto k : columns) {
    values.push_back(scores.transformed.values_BK.select(1, static_cast<int64_t>(k)));
    valid.push_back(scores.transformed.valid_BK.select(1, static_cast<int64_t>(k)));
    rewards.weights_K.push_back(scores.weights_K[k]);
  }
  rewards.values_BK = at::stack(values, 1);
  rewards.valid_BK = at::stack(valid, 1);
  return rewards;
}

void report_advantages(const GroupAdvantages& advantages, const at::Tensor& valid_B, Metrics& metrics) {
  check_masked(advantages, valid_B);
  metrics.emplace_back("zero_std_ratio", advantages.zero_std_ratio);
  metrics.emplace_back("reward_std_mean", advantages.reward_std_mean);
}

GroupAdvantages advantages_of(const CombinedReward& reward, const std::vector<int64_t>& group_B,
                              const GroupNorm& norm, Metrics& metrics) {
  auto advantages = group_advantages(reward.total_B, reward.valid_B, group_B, norm);
  report_advantages(advantages, reward.valid_B, metrics);
  return advantages;
}

void report_totals(const Scores& scores, Metrics& metrics) {
  require_totals(scores);
  advantages_of(scores.total, scores.group_B, {}, metrics);
}

Head head_of(const GroupAdvantages& advantages, const Update& update) {
  auto counts = at::zeros_like(advantages.values_B);
  for (const auto& share : update.shares) share.rows(counts).copy_(share.rows(advantages.used_B));
  return {advantages.values_B, counts / counts.sum().clamp_min(1.0)};
}

std::vector<Head> Aggregator::heads(const Advantages& advantages, const Update& update) {
  std::vector<Head> heads;
  for (const auto& head : advantages.heads) heads.push_back(head_of(head, update));
  return heads;
}

TensorMap Aggregator::direction(Gradients of_heads, Metrics&) {
  TORCH_CHECK(of_heads.size() == 1, "one head has one gradient");
  return std::move(of_heads[0]);
}

}  // namespace thalweg
