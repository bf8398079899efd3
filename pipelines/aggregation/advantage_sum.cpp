// Advantages of each reward for itself, summed by the rewards' weights and not normalised again (MixGRPO, Li
// et al. 2025, arXiv 2507.21802): rewards of different scales count alike. `trimmed_ratio` of each group's
// worst samples are left out of its mean and deviation, though not out of training.
#include <ATen/ATen.h>

#include <memory>

#include "pipelines/training/aggregation.h"

namespace thalweg {
namespace {

class AdvantageSumAggregator final : public Aggregator {
 public:
  AdvantageSumAggregator(const GroupNorm& norm, double trimmed_ratio)
      : norm_(norm), trimmed_ratio_(trimmed_ratio) {}

  Advantages advantages(const Scores& scores, Metrics& metrics) override {
    require_totals(scores);
    // What is used, and what is said of the group, is the total's.
    auto sum = advantages_of(scores.total, scores.group_B, norm_, metrics);
    auto rewards = trained_rewards(scores);
    rewards.valid_BK = sum.used_B.unsqueeze(1).expand_as(rewards.valid_BK);
    auto norm = norm_;
    norm.trimmed = trimmed_ratio_;
    sum.values_B.zero_();
    const auto columns = column_advantages(rewards, scores.group_B, norm);  // the sum is clamped, not they
    for (size_t k = 0; k < columns.size(); ++k) sum.values_B += rewards.weights_K[k] * columns[k].values_B;
    sum.values_B = at::where(sum.used_B, sum.values_B.clamp(-norm_.clip, norm_.clip), 0.0);
    check_masked(sum, scores.total.valid_B);
    return {{sum}, sum.used_B};
  }

 private:
  const GroupNorm norm_;
  const double trimmed_ratio_;
};

class AdvantageSum final : public Cloneable<AdvantageSum, Aggregation> {
 public:
  void describe(Fields& f) override {
    f.number({"trimmed_ratio", "of a group's worst samples, left out of its mean and deviation"},
             trimmed_ratio_, 0.0, 0.9);
  }
  std::unique_ptr<Aggregator> start(const GroupNorm& norm, const RewardSet&) const override {
    return std::make_unique<AdvantageSumAggregator>(norm, trimmed_ratio_);
  }

 private:
  double trimmed_ratio_ = 0.0;
};

}  // namespace

std::unique_ptr<Aggregation> make_advantage_sum() {
  return std::make_unique<AdvantageSum>();
}

}  // namespace thalweg
