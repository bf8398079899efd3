// A process reward with a gradient that is known: the mean of the latents, times a number.
#pragma once

#include <limits>
#include <set>

#include "tests/methods/methods.h"

namespace thalweg {

/// Samples that it does not score, and those whose gradient it loses, by their slot.
struct LatentFaults {
  std::set<uint64_t> unscored = {}, without_gradient = {};
};

class LatentReward final : public Reward {
 public:
  LatentReward(double scale, LatentFaults faults) : scale_(scale), faults_(std::move(faults)) {
    info_.name = "latent";
    info_.dimensions_K = {"mean"};
    info_.required.latents = true;
    info_.gradient_of = GradientOf::latents;
  }

  const RewardInfo& info() const override { return info_; }
  Scored score(const ScoreInput& input) override {
    Scored scored{(input.latents_BCFHW.flatten(1).mean(1, true) * scale_).to(at::kFloat), {}};
    fail(input, faults_.unscored, scored.values_BK, scored.failures);
    return scored;
  }
  ScoreGradient gradient(const ScoreInput& input, const at::Tensor& cotangent_BK) override {
    const auto& x = input.latents_BCFHW;
    const double each = scale_ / static_cast<double>(x[0].numel());
    ScoreGradient result{
        {}, (at::ones_like(x) * cotangent_BK.view({-1, 1, 1, 1, 1}) * each).to(at::kFloat), {}};
    fail(input, faults_.without_gradient, result.latents_BCFHW, result.failures);
    return result;
  }

 private:
  static void fail(const ScoreInput& input, const std::set<uint64_t>& slots, at::Tensor& of,
                   std::vector<CallFailure>& failures) {
    constexpr uint64_t kNumber = (uint64_t{1} << 36) - 1;
    for (size_t b = 0; b < input.sample_ids.size(); ++b) {
      if (!slots.contains(input.sample_ids[b] & kNumber)) continue;
      of[static_cast<int64_t>(b)].fill_(std::numeric_limits<float>::quiet_NaN());
      failures.push_back({"cannot see", 1, -1});
    }
  }

  const double scale_;
  const LatentFaults faults_;
  RewardInfo info_;
};

/// The small model with its rewards of pictures, and this one for what leads.
inline TrainingParts led_parts(double scale, LatentFaults faults = {}, RewardUse use = RewardUse::process) {
  auto parts = SmallTraining::parts(0.5, [](uint64_t) { return false; });
  parts.rewards = [scale, faults, use] {
    RewardSpec train, lead;
    train.plugin = "small";
    train.dimensions = {{"bright", 1.0}, {"dark", 0.5}};
    lead.plugin = "latent";
    lead.use = use;
    std::vector<RewardMember> members;
    members.push_back({train, std::make_shared<SmallReward>([](uint64_t) { return false; })});
    members.push_back({lead, std::make_shared<LatentReward>(scale, faults)});
    return std::make_unique<RewardSet>(std::move(members));
  };
  return parts;
}

}  // namespace thalweg
