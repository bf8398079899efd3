// The law of particle methods whose rewards fail: at random, failures leave the tilted law and its Z; where
// they depend on the state, the law is that of the samples which can be scored in the end.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "engine/core/rng.h"
#include "samplers/particles/das.h"
#include "samplers/particles/fk.h"
#include "samplers/particles/guided_smc.h"
#include "tests/samplers/kernels.h"
#include "tests/samplers/particles_laboratory.h"

namespace thalweg {
namespace {

using namespace particles_exact;

constexpr int64_t kSamples = 20000, kSteps = 150;

struct Named {
  std::string name;
  std::function<Trajectory(const SamplerInput&, const RewardValue&)> sample;
};

// Every method with weights, by both views of a state.
std::vector<Named> methods() {
  std::vector<Named> all;
  for (const auto& potential : {"diff", "max", "is"}) {
    auto o = fk(kSamples, 20);
    o.potential = potential;
    all.push_back({std::string("fk ") + potential,
                   [=](const auto& in, const auto& r) { return sample_fk(in, flow_sde(0.7), r, o); }});
  }
  for (const std::string value : {"clean_estimate", "noisy_latents"}) {
    DasOptions d{{}, kTilt, value};
    GuidedSmcOptions s{{}, kTilt, value};
    d.particles.particles = s.particles.particles = kSamples;
    all.push_back(
        {"das " + value, [=](const auto& in, const auto& r) { return sample_das(in, flow_sde(0.7), r, d); }});
    all.push_back({"guided_smc " + value, [=](const auto& in, const auto& r) {
                     return sample_guided_smc(in, flow_sde(0.7), r, s);
                   }});
  }
  return all;
}

RewardValue failing(const std::function<at::Tensor(const at::Tensor& x, const Step& step)>& fails) {
  return [=](const at::Tensor& x, const Step& step, const Conditioning& c) {
    const auto value = mean_reward()(x, step, c);
    return at::where(fails(x.detach(), step), NAN, value);
  };
}

TEST(MaskedLaws, RandomFailuresTiltNothing) {
  const auto in = particle_input(base(), kSteps, kSamples, 1);
  for (const auto& [name, sample] : methods()) {
    uint64_t call = 0;
    const auto at_random = failing([&](const at::Tensor&, const Step& step) {
      auto fails = at::empty({static_cast<int64_t>(step.slot_B.size())}, at::kBool);
      auto* out = fails.mutable_data_ptr<bool>();
      for (const auto slot : step.slot_B)
        *out++ = random_uniform(9, Purpose::data, static_cast<uint64_t>(slot), call) < 0.3;
      ++call;
      return fails;
    });
    const auto t = sample(in, at_random);
    EXPECT_NEAR(weighted_mean(t), mean_of(tilted()), 0.04) << name;
    EXPECT_NEAR(t.particles->log_evidence_G.item<double>(), linear_tilt(base(), kTilt).log_evidence, 0.06)
        << name;
    EXPECT_GT(t.particles->unscored_TG[-1][0].item<int64_t>(), kSamples / 20) << name;
  }
}

TEST(MaskedLaws, FailuresOnTheWayTiltNothingEvenWhereTheyDependOnTheState) {
  const auto in = particle_input(base(), kSteps, kSamples, 2);
  const auto high = failing([](const at::Tensor& x, const Step& step) {
    return step.index < 0 ? at::zeros({x.size(0)}, at::kBool) : x.flatten() > 0.3;
  });
  for (const auto& [name, sample] : methods()) {
    const auto t = sample(in, high);
    EXPECT_NEAR(weighted_mean(t), mean_of(tilted()), 0.06) << name;
    EXPECT_NEAR(t.particles->log_evidence_G.item<double>(), linear_tilt(base(), kTilt).log_evidence, 0.06)
        << name;
  }
}

// E[x | x < 0] of a mixture.
double mean_below_zero(const Mixture& law) {
  double sum = 0.0, below = 0.0;
  for (size_t k = 0; k < law.means.size(); ++k) {
    const double z = -law.means[k] / law.stds[k], share = 0.5 * std::erfc(-z / std::numbers::sqrt2);
    const double density = std::exp(-0.5 * z * z) / std::sqrt(2.0 * std::numbers::pi);
    below += law.weights[k] * share;
    sum += law.weights[k] * (law.means[k] * share - law.stds[k] * density);
  }
  return sum / below;
}

TEST(MaskedLaws, WhatCannotBeScoredInTheEndIsLeftOut) {
  const auto in = particle_input(base(), kSteps, kSamples, 3);
  const auto positive = failing([](const at::Tensor& x, const Step&) { return x.flatten() > 0.0; });
  for (const auto& [name, sample] : methods())
    EXPECT_NEAR(weighted_mean(sample(in, positive)), mean_below_zero(tilted()), 0.03) << name;
}

}  // namespace
}  // namespace thalweg
