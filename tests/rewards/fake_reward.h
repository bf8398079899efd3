// A reward without a library: what stands behind the interface is a function of the test.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rewards/reward_set.h"

namespace thalweg::testing {

/// Values [B,2] of frames: their mean, and their mean of squares, unless the functions are replaced.
class FakeReward final : public Reward {
 public:
  explicit FakeReward(std::string name) {
    about.name = std::move(name);
    about.dimensions_K = {"mean", "square"};
    about.required.frames = true;
    about.gradient_of = GradientOf::frames;
  }

  const RewardInfo& info() const override { return about; }
  Scored score(const ScoreInput& input) override { return scores(input); }
  ScoreGradient gradient(const ScoreInput& input, const at::Tensor& cotangent_BK) override {
    return gradients(input, cotangent_BK);
  }

  std::function<Scored(const ScoreInput&)> scores = [](const ScoreInput& input) {
    const auto x = input.frames_BF3HW.flatten(1);
    return Scored{at::stack({x.mean(1), x.square().mean(1)}, 1), {}};
  };
  std::function<ScoreGradient(const ScoreInput&, const at::Tensor&)> gradients =
      [](const ScoreInput& input, const at::Tensor& cotangent_BK) {
        const auto& x = input.frames_BF3HW;
        const auto weight = [&](int64_t k) { return cotangent_BK.select(1, k).view({-1, 1, 1, 1, 1}); };
        const auto n = static_cast<double>(x[0].numel());
        return ScoreGradient{(weight(0) + 2 * weight(1) * x) / n, {}, {}};
      };
  RewardInfo about;
};

/// An entry of a job with a fake behind it.
inline RewardMember member_of(std::shared_ptr<Reward> reward, RewardUse use = RewardUse::train,
                              std::vector<std::pair<std::string, double>> dimensions = {},
                              double weight = 1) {
  RewardSpec spec;
  spec.use = use;
  spec.dimensions = std::move(dimensions);
  spec.weight = weight;
  spec.pointer = "/rewards/0";
  return {std::move(spec), std::move(reward)};
}

}  // namespace thalweg::testing
