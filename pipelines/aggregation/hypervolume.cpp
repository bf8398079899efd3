// Hypervolume-guided weights (arXiv 2509.11452): what the rollouts reached is kept as a front; a rollout that
// enlarges the volume under it has its advantages weighted up to twice, one that does not by a half.
//
// The authors weight the rewards (which normalised advantages would not notice) by points of a validation set
// after every step; here the advantages are weighted, and the points are means over the rollouts, which are
// there anyway. Rewards have scales of their own, so a point is counted from the first rollout's means, in
// that rollout's deviations.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/advantages/hypervolume.h"
#include "engine/core/statistics.h"
#include "pipelines/training/aggregation.h"

namespace thalweg {
namespace {

class HypervolumeAggregator final : public Aggregator {
 public:
  explicit HypervolumeAggregator(const GroupNorm& norm) : norm_(norm) {}

  Advantages advantages(const Scores& scores, Metrics& metrics) override {
    require_totals(scores);
    auto of_sum = advantages_of(scores.total, scores.group_B, norm_, metrics);
    const double weight = weight_of(trained_rewards(scores), metrics);
    of_sum.values_B = (of_sum.values_B * weight).clamp(-norm_.clip, norm_.clip);
    return {{of_sum}, of_sum.used_B};
  }

  void state(RunState& state) override {
    std::vector<double> points;
    for (const auto& point : front_) points.insert(points.end(), point.begin(), point.end());
    numbers(state, "aggregation", {{"origin", &origin_}, {"unit", &unit_}, {"front", &points}});
    if (!state.reads()) return;
    front_.clear();
    const auto K = static_cast<std::ptrdiff_t>(origin_.size());
    for (auto at = points.begin(); K > 0 && points.end() - at >= K; at += K) front_.emplace_back(at, at + K);
  }

 private:
  double weight_of(const WeightedRewards& rewards, Metrics& metrics) {
    RewardPoint point;
    std::vector<double> deviations;
    for (size_t k = 0; k < rewards.weights_K.size(); ++k) {
      const auto column = static_cast<int64_t>(k);
      const auto scored =
          rewards.values_BK.select(1, column).masked_select(rewards.valid_BK.select(1, column));
      const double sign = rewards.weights_K[k] < 0.0 ? -1.0 : 1.0;
      point.push_back(scored.numel() > 0 ? sign * scored.mean().item<double>() : std::nan(""));
      deviations.push_back(scored.numel() > 0 ? scored.std(/*unbiased=*/false).item<double>() : 0.0);
    }
    // A point that lacks a coordinate is none: the update counts as it is.
    if (!std::all_of(point.begin(), point.end(), [](double p) { return std::isfinite(p); })) return 1.0;
    if (origin_.empty()) {
      origin_ = point;
      for (const double d : deviations) unit_.push_back(d > 0.0 ? d : 1.0);
      return 1.0;
    }
    for (size_t k = 0; k < point.size(); ++k) point[k] = (point[k] - origin_[k]) / unit_[k];
    const RewardPoint zero(point.size(), 0.0);
    const double contribution = hypervolume_contribution(front_, point, zero);
    if (contribution > 0.0) add_to_front(front_, point);
    const double weight = hypervolume_weight(contribution);
    metrics.emplace_back("hypervolume", hypervolume(front_, zero));
    metrics.emplace_back("hypervolume_weight", weight);
    return weight;
  }

  const GroupNorm norm_;
  std::vector<double> origin_, unit_;  // of the first rollout
  std::vector<RewardPoint> front_;     // counted from there
};

class Hypervolume final : public Cloneable<Hypervolume, Aggregation> {
 public:
  void describe(Fields&) override {}
  std::unique_ptr<Aggregator> start(const GroupNorm& norm, const RewardSet&) const override {
    return std::make_unique<HypervolumeAggregator>(norm);
  }
};

}  // namespace

std::unique_ptr<Aggregation> make_hypervolume() {
  return std::make_unique<Hypervolume>();
}

}  // namespace thalweg
