// A training run on the small model with two rewards that neither agree nor are opposites.
#pragma once

#include <functional>
#include <limits>

#include "tests/methods/methods.h"

namespace thalweg {

/// Dimensions "bright" (mean of the picture) and "even" (minus its variance); which of them a sample lacks is
/// said by `lacks`.
class TwoRewards final : public Reward {
 public:
  using Lacks = std::function<bool(uint64_t number, int64_t dimension)>;

  explicit TwoRewards(Lacks lacks) : lacks_(std::move(lacks)) {
    info_.name = "small";
    info_.dimensions_K = {"bright", "even"};
    info_.required.frames = true;
  }

  const RewardInfo& info() const override { return info_; }
  Scored score(const ScoreInput& input) override {
    const auto pixels = input.frames_BF3HW.flatten(1);
    Scored scored{
        at::stack({pixels.mean(1), -pixels.var(1, /*unbiased=*/false)}, 1).to(at::kFloat).contiguous(), {}};
    for (size_t i = 0; i < input.sample_ids.size(); ++i)
      for (int64_t k = 0; k < 2; ++k)
        if (lacks_(input.sample_ids[i] & ((uint64_t{1} << 36) - 1), k))
          scored.values_BK[static_cast<int64_t>(i)][k] = std::numeric_limits<float>::quiet_NaN();
    return scored;
  }
  ScoreGradient gradient(const ScoreInput&, const at::Tensor&) override {
    throw std::logic_error("no gradient");
  }

 private:
  RewardInfo info_;
  Lacks lacks_;
};

inline std::unique_ptr<RewardSet> two_rewards(
    const std::vector<std::pair<std::string, double>>& dimensions,
    TwoRewards::Lacks lacks = [](uint64_t, int64_t) { return false; }) {
  RewardSpec spec;
  spec.plugin = "small";
  spec.dimensions = dimensions;
  std::vector<RewardMember> members;
  members.push_back({spec, std::make_shared<TwoRewards>(std::move(lacks))});
  return std::make_unique<RewardSet>(std::move(members));
}

/// As SmallTraining, with both rewards trained.
struct TwoRewardTraining {
  explicit TwoRewardTraining(
      TrainingOptions given, TwoRewards::Lacks lacks = [](uint64_t, int64_t) { return false; })
      : options(std::move(given)),
        workers(1),
        training(options, observer, workers, parts(std::move(lacks))) {}

  static TrainingParts parts(TwoRewards::Lacks lacks) {
    auto all = SmallTraining::parts(0.0, [](uint64_t) { return false; });
    all.rewards = [lacks] { return two_rewards({{"bright", 1.0}, {"even", 2.0}}, lacks); };
    return all;
  }

  TrainingOptions options;
  Observer observer;
  Workers workers;
  Training training;
};

}  // namespace thalweg
