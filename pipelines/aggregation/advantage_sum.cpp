// Advantages of each reward for itself, summed by the rewards' weights and not normalised again (MixGRPO, Li
// et al. 2025, arXiv 2507.21802): rewards of different scales count alike. `trimmed_ratio` of each group's
// worst samples are left out of its mean and deviation, though not out of training.
#include <ATen/ATen.h>

#include <limits>
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
    sum.values_B.zero_();
    for (int64_t k = 0; k < scores.transformed.dimensions(); ++k) {
      const double weight = scores.weights_K[static_cast<size_t>(k)];
      if (weight == 0.0) continue;
      const auto reward_B = scores.transformed.values_BK.select(1, k);
      sum.values_B += weight * of_reward(reward_B, sum.used_B, scores.group_B);
    }
    sum.values_B = at::where(sum.used_B, sum.values_B.clamp(-norm_.clip, norm_.clip), 0.0);
    check_masked(sum, scores.total.valid_B);
    return {{sum}, sum.used_B};
  }

 private:
  at::Tensor of_reward(const at::Tensor& reward_B, const at::Tensor& used_B,
                       const std::vector<int64_t>& group_B) const {
    auto norm = norm_;
    norm.clip = std::numeric_limits<double>::infinity();  // the sum is clamped
    norm.trimmed = trimmed_ratio_;
    return group_advantages(reward_B, used_B, group_B, norm).values_B;
  }

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
