#include "pipelines/training/aggregation.h"

#include <ATen/ATen.h>

#include <utility>

namespace thalweg {

void describe(Fields& f, GroupNorm& norm) {
  f.number({"adv_clip_max", "advantages are clamped to +- this"}, norm.clip, 1e-3, 1e3);
  bool global = norm.deviation == DeviationOver::batch;
  f.boolean({"global_std", "divide by the deviation of all samples instead of the group's"}, global);
  norm.deviation = global ? DeviationOver::batch : DeviationOver::group;
  f.object({"std", "the deviation that advantages are divided by"}, [&](Fields& s) {
    s.integer({"ddof", "1: the unbiased one, divided by one sample less"}, norm.ddof, 0, 1);
    s.number({"eps", "added to it"}, norm.eps, 1e-12, 1.0);
    s.number({"least", "of a group: below it the advantages of the group are 0"}, norm.least, 0.0, 1e3);
  });
}

void describe(Fields& f, AdvantageOptions& o) {
  describe(f, o.norm);
  f.object({"aggregation", "how several rewards become one direction"},
           [&](Fields& a) { o.aggregation.describe(a, {"name", "way"}, aggregation_table()); });
}

GroupAdvantages advantages_of(const CombinedReward& reward, const std::vector<int64_t>& group_B,
                              const GroupNorm& norm, Metrics& metrics) {
  auto advantages = group_advantages(reward.total_B, reward.valid_B, group_B, norm);
  check_masked(advantages, reward.valid_B);
  metrics.emplace_back("zero_std_ratio", advantages.zero_std_ratio);
  metrics.emplace_back("reward_std_mean", advantages.reward_std_mean);
  return advantages;
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
