// A training run on the small model, with two rewards that are read off its pictures.
#pragma once

#include <cmath>
#include <functional>
#include <limits>

#include "pipelines/training/training.h"
#include "rewards/reward_set.h"
#include "tests/training/small_model.h"

namespace thalweg {

/// Dimensions "bright" (mean of the picture) and "dark" (1 - mean); a sample that `fails` says is not scored
/// for `dark`.
class SmallReward final : public Reward {
 public:
  explicit SmallReward(std::function<bool(uint64_t number)> fails) : fails_(std::move(fails)) {
    info_.name = "small";
    info_.dimensions_K = {"bright", "dark"};
    info_.required.frames = true;
    info_.gradient_of = GradientOf::frames;
  }

  const RewardInfo& info() const override { return info_; }
  Scored score(const ScoreInput& input) override {
    const auto bright_B = input.frames_BF3HW.flatten(1).mean(1);
    Scored scored{at::stack({bright_B, 1.0 - bright_B}, 1).to(at::kFloat).contiguous(), {}};
    for (size_t i = 0; i < input.sample_ids.size(); ++i) {
      if (!fails_(input.sample_ids[i] & kNumber)) continue;
      scored.values_BK[static_cast<int64_t>(i)][1] = std::numeric_limits<float>::quiet_NaN();
      scored.failures.push_back({"cannot see", 1, 1});
    }
    return scored;
  }
  ScoreGradient gradient(const ScoreInput& input, const at::Tensor& cotangent_BK) override {
    const auto& frames = input.frames_BF3HW;
    const auto pixels = static_cast<double>(frames[0].numel());
    const auto of_pixel_B = (cotangent_BK.select(1, 0) - cotangent_BK.select(1, 1)) / pixels;
    return {of_pixel_B.view({-1, 1, 1, 1, 1}).expand_as(frames).to(at::kFloat).contiguous(), {}, {}};
  }

 private:
  static constexpr uint64_t kNumber = (uint64_t{1} << 36) - 1;  // of a sample in its rollout: the lower bits
  RewardInfo info_;
  std::function<bool(uint64_t)> fails_;
};

/// 4 steps, micro-batches of 4, one worker unless the options say how many.
struct SmallTraining {
  explicit SmallTraining(
      double dark_weight = 0.0, std::function<bool(uint64_t)> fails = [](uint64_t) { return false; },
      TrainingOptions given = default_options())
      : SmallTraining(parts(dark_weight, fails), std::move(given)) {}
  SmallTraining(TrainingParts parts, TrainingOptions given)
      : options(std::move(given)),
        workers(static_cast<int>(options.parallel.workers)),
        training(options, observer, workers, std::move(parts)) {}

  static TrainingOptions default_options() {
    TrainingOptions o;
    o.sampler.steps = 4;
    o.parallel.micro_batch = 4;
    o.parallel.workers = 1;
    o.iterations = 10;
    o.optimizer.weight_decay = 0.0;
    return o;
  }
  static TrainingParts parts(double dark_weight, const std::function<bool(uint64_t)>& fails) {
    RewardSpec spec;
    spec.plugin = "small";
    spec.dimensions = {{"bright", 1.0}};
    if (dark_weight != 0.0) spec.dimensions.emplace_back("dark", dark_weight);
    const std::vector<std::string> prompts = {"one", "two", "three"};
    return {.model = std::make_unique<SmallModel>(),
            .prompts = {{prompts, {"{}", "{}", "{}"}}, {prompts, {}}},
            .unconditional = {{""}, {}},
            .rewards = [spec, fails] {
              std::vector<RewardMember> members;
              members.push_back({spec, std::make_shared<SmallReward>(fails)});
              return std::make_unique<RewardSet>(std::move(members));
            }};
  }

  TrainingOptions options;
  Observer observer;
  Workers workers;
  Training training;
};

/// The named metric; NaN when it is not there.
inline double number(const std::vector<std::pair<std::string, double>>& metrics, const std::string& name) {
  for (const auto& [key, value] : metrics)
    if (key == name) return value;
  return std::nan("");
}

}  // namespace thalweg
