// GDPO (arXiv 2601.05242): the rewards are normalised one by one within their groups, then weighted and
// summed, then the sum over the rollout. Published with "global_std": false, its default here.
#include <ATen/ATen.h>

#include "pipelines/training/aggregation.h"

namespace thalweg {
namespace {

class GdpoAggregator final : public Aggregator {
 public:
  explicit GdpoAggregator(const GroupNorm& norm) : norm_(norm) {}

  Advantages advantages(const Scores& scores, Metrics& metrics) override {
    const auto rewards = trained_rewards(scores);
    const auto of_sum = gdpo_advantages(rewards, scores.group_B, norm_);
    report_advantages(of_sum, rewards.valid_BK.any(1), metrics);
    return {{of_sum}, of_sum.used_B};
  }

 private:
  const GroupNorm norm_;
};

class Gdpo final : public Cloneable<Gdpo, Aggregation> {
 public:
  void describe(Fields&) override {}
  std::optional<DeviationOver> deviation() const override { return DeviationOver::group; }
  std::unique_ptr<Aggregator> start(const GroupNorm& norm, const RewardSet&) const override {
    return std::make_unique<GdpoAggregator>(norm);
  }
};

}  // namespace

std::unique_ptr<Aggregation> make_gdpo() {
  return std::make_unique<Gdpo>();
}

}  // namespace thalweg
