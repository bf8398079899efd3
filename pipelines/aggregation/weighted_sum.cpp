// One reward a sample, the sum of the rewards by their weights in the job, and the advantages of that sum
// (Flow-GRPO, Liu et al. 2025, arXiv 2505.05470). A sample that any of them failed to score is masked.
#include <memory>

#include "pipelines/training/aggregation.h"

namespace thalweg {
namespace {

class WeightedSumAggregator final : public Aggregator {
 public:
  explicit WeightedSumAggregator(const GroupNorm& norm) : norm_(norm) {}

  Advantages advantages(const Scores& scores, Metrics& metrics) override {
    require_totals(scores);
    const auto of_sum = advantages_of(scores.total, scores.group_B, norm_, metrics);
    return {{of_sum}, of_sum.used_B};
  }

 private:
  const GroupNorm norm_;
};

class WeightedSum final : public Cloneable<WeightedSum, Aggregation> {
 public:
  void describe(Fields&) override {}
  std::unique_ptr<Aggregator> start(const GroupNorm& norm, const RewardSet&) const override {
    return std::make_unique<WeightedSumAggregator>(norm);
  }
};

}  // namespace

std::unique_ptr<Aggregation> make_weighted_sum() {
  return std::make_unique<WeightedSum>();
}

}  // namespace thalweg
