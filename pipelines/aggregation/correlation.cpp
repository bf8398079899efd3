// CMO (arXiv 2603.18528): within each group a reward counts the less, the more it goes with the others; a
// reward that is absent (not scored) is left out. Published with "global_std": false, its default here.
#include <ATen/ATen.h>

#include <cmath>

#include "engine/advantages/correlation.h"
#include "pipelines/training/aggregation.h"

namespace thalweg {
namespace {

// The way that a reward is meant to go is up: correlations have a sign.
WeightedRewards turned_up(WeightedRewards rewards) {
  auto sign_K = at::ones({static_cast<int64_t>(rewards.weights_K.size())}, at::kDouble);
  for (size_t k = 0; k < rewards.weights_K.size(); ++k)
    if (rewards.weights_K[k] < 0.0) sign_K[static_cast<int64_t>(k)] = -1.0;
  for (auto& w : rewards.weights_K) w = std::fabs(w);
  rewards.values_BK = rewards.values_BK * sign_K;
  return rewards;
}

class CorrelationAggregator final : public Aggregator {
 public:
  CorrelationAggregator(const GroupNorm& norm, double temperature) : norm_(norm), temperature_(temperature) {}

  Advantages advantages(const Scores& scores, Metrics& metrics) override {
    const auto rewards = turned_up(trained_rewards(scores));
    const auto of_sum = correlation_advantages(rewards, scores.group_B, norm_, temperature_);
    report_advantages(of_sum, rewards.valid_BK.any(1), metrics);
    return {{of_sum}, of_sum.used_B};
  }

 private:
  const GroupNorm norm_;
  const double temperature_;
};

class Correlation final : public Cloneable<Correlation, Aggregation> {
 public:
  void describe(Fields& f) override {
    f.number({"temperature", "of the weights; large: all alike"}, temperature_, 1e-3, 1e6);
  }
  std::optional<DeviationOver> deviation() const override { return DeviationOver::group; }
  std::unique_ptr<Aggregator> start(const GroupNorm& norm, const RewardSet&) const override {
    return std::make_unique<CorrelationAggregator>(norm, temperature_);
  }

 private:
  double temperature_ = 0.5;
};

}  // namespace

std::unique_ptr<Aggregation> make_correlation() {
  return std::make_unique<Correlation>();
}

}  // namespace thalweg
