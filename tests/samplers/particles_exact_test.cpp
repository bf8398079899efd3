// Particle methods against closed forms: steering_and_distillation.md, 12, T8 to T10, in one dimension and
// in 64.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "samplers/particles/das.h"
#include "samplers/particles/fk.h"
#include "samplers/particles/guided_smc.h"
#include "samplers/particles/select.h"
#include "tests/samplers/kernels.h"
#include "tests/samplers/particles_laboratory.h"

namespace thalweg {
namespace {

using namespace particles_exact;

TEST(ParticleLaboratory, LevelVelocityIsTheMixtures) {
  const auto in = particle_input(base(), 7, 500, 12);
  for (int64_t i = 0; i < 7; ++i) {
    const auto step = step_at(in.schedule, i, in.slot_B);
    const auto expected = velocity_of(base())(in.x_BCFHW, step, in.conditioning);
    EXPECT_TRUE(at::allclose(in.velocity(in.x_BCFHW, step, in.conditioning), expected, 1e-12, 1e-12)) << i;
  }
}

// T8.
TEST(Fk, ReachesTheTiltWithEveryPotential) {
  const auto in = particle_input(base(), 200, 20000, 1);
  for (const auto& potential : potential_names()) {
    // Five scorings for the potential of T8. Those that add up what has to be divided out again need more
    // particles the more often they are scored: two.
    auto o = fk(20000, potential == "diff" ? 40 : 100);
    o.potential = potential;
    const auto t = sample_fk(in, flow_sde(0.7), mean_reward(), o);
    RecordProperty("w1_" + potential, std::to_string(weighted_w1(t, tilted())));
    EXPECT_LT(weighted_w1(t, tilted()), 0.02) << potential;
    // Without the last weights it is something else: only they make it exact.
    EXPECT_GT(w1(t.x0_BCFHW, tilted()), 0.025) << potential;
  }
}

TEST(Fk, ErrorFallsWithTheNumberOfParticles) {
  const double target = mean_of(tilted());
  std::vector<double> errors;
  for (const int64_t n : {1, 4, 16, 64}) {
    const auto in = particle_input(base(), 100, 19200, 2);
    const auto t = sample_fk(in, flow_sde(0.7), mean_reward(), fk(n, 20));
    // The expectation of a particle drawn by weight.
    const auto weights = at::softmax(t.particles->log_weights_B.view({-1, n}), 1);
    errors.push_back(target - (weights * t.x0_BCFHW.view({-1, n})).sum(1).mean().item<double>());
    RecordProperty("bias_" + std::to_string(n), std::to_string(errors.back()));
  }
  EXPECT_NEAR(errors[0], target - mean_of(base()), 0.05);
  EXPECT_NEAR(errors[1], target - 0.677, 0.05);
  EXPECT_NEAR(errors[2], target - 0.928, 0.05);
  EXPECT_LT(std::abs(errors[3]), 0.03);
  for (size_t k = 1; k < errors.size(); ++k) EXPECT_LT(std::abs(errors[k]), std::abs(errors[k - 1]));
}

// T9, and that weights survive where resampling is skipped: at a threshold of 0 nothing else tilts anything.
TEST(Fk, EvidenceIsUnbiasedWhateverIsResampled) {
  const double z = std::exp(linear_tilt(base(), kTilt).log_evidence);
  struct Case {
    double threshold;
    const char* resampling;
  };
  for (const auto& [threshold, resampling] : {Case{0.0, "ssp"}, Case{0.5, "ssp"}, Case{0.5, "systematic"},
                                              Case{1.0, "ssp"}, Case{1.0, "multinomial"}}) {
    auto o = fk(64, 30);
    o.particles.ess_threshold = threshold;
    o.particles.resampling = resampling;
    const auto in = particle_input(base(), 150, 64 * 300, 3);
    const auto t = sample_fk(in, flow_sde(0.7), mean_reward(), o);
    const auto z_G = t.particles->log_evidence_G.exp();
    const double error = z_G.std().item<double>() / std::sqrt(300.0);
    EXPECT_NEAR(z_G.mean().item<double>(), z, 3.0 * error) << threshold << " " << resampling;
    EXPECT_LT(error, 0.03);
    const auto weights = at::softmax(t.particles->log_weights_B.view({-1, 64}), 1);
    EXPECT_NEAR((weights * t.x0_BCFHW.view({-1, 64})).sum(1).mean().item<double>(), mean_of(tilted()), 0.06)
        << threshold << " " << resampling;
    // Never resampled: without its weights this is the base.
    if (threshold == 0.0) {
      EXPECT_NEAR(t.x0_BCFHW.mean().item<double>(), mean_of(base()), 0.05);
    }
    EXPECT_EQ((t.particles->survivors_TG == 1.0).all().item<bool>(), threshold == 0.0);
  }
}

// T10: U = c x0hat is not log h, and the drift of sigma^2/2 grad U alone samples something else.
TEST(GuidedSmc, WeightsCorrectAWrongPotential) {
  const auto in = particle_input(base(), 200, 20000, 4);
  GuidedSmcOptions o;
  o.lambda = kTilt;
  const auto check = [&](const std::string& name, const Kernel& kernel, const std::string& value) {
    o.value = value;
    o.particles.particles = 20000;
    const auto t = sample_guided_smc(in, kernel, mean_reward(), o);
    RecordProperty("w1_" + name, std::to_string(weighted_w1(t, tilted())));
    EXPECT_LT(weighted_w1(t, tilted()), 0.02) << name;
    EXPECT_NEAR(t.particles->log_evidence_G.item<double>(), linear_tilt(base(), kTilt).log_evidence, 0.03);
    o.particles.particles = 1;
    const auto uncorrected = w1(sample_guided_smc(in, kernel, mean_reward(), o).x0_BCFHW, tilted());
    RecordProperty("w1_uncorrected_" + name, std::to_string(uncorrected));
    EXPECT_GT(uncorrected, 0.3) << name;
  };
  check("flow_sde", flow_sde(0.7), "clean_estimate");
  check("dance_sde", dance_sde(1.0), "clean_estimate");
  check("noisy_latents", flow_sde(0.7), "noisy_latents");
}

TEST(GuidedSmc, MayBeginLateAndGoWithoutNoise) {
  const auto in = particle_input(base(), 200, 20000, 14);
  GuidedSmcOptions o;
  o.lambda = kTilt;
  o.begin = 120;
  o.particles.particles = 20000;
  EXPECT_LT(weighted_w1(sample_guided_smc(in, flow_sde(0.7), mean_reward(), o), tilted()), 0.02);
  o.begin = 0;
  const Kernel noisy_middle = [](const Schedule& schedule, int64_t i) {
    return i < 40 || i >= 160 ? euler(schedule, i) : flow_sde(0.7)(schedule, i);
  };
  EXPECT_LT(weighted_w1(sample_guided_smc(in, noisy_middle, mean_reward(), o), tilted()), 0.02);
}

// A reward of the mean of 64 elements, lambda = 0.3 * 64: each is tilted by 0.3. Few lineages of a group
// survive so strong a reward, so several groups speak together.
TEST(ManyDimensions, FkGuidedSmcAndDasReachTheTilt) {
  constexpr double kEach = 0.1;
  constexpr int64_t kElements = 64, kParticles = 2000;
  const auto law = tilted(kEach);
  const double log_z = kElements * linear_tilt(base(), kEach).log_evidence;
  const auto check = [&](const char* name, double tolerance, const auto& sample) {
    std::vector<at::Tensor> x, log_weights;
    for (const uint64_t seed : {7, 17, 27, 37}) {
      const Trajectory t = sample(particle_input(base(), 100, kParticles, seed, {4, 1, 4, 4}));
      EXPECT_NEAR(t.particles->log_evidence_G.item<double>(), log_z, 0.1) << name;
      x.push_back(t.x0_BCFHW.flatten(1));
      log_weights.push_back(at::log_softmax(t.particles->log_weights_B, 0).unsqueeze(1).expand_as(x.back()));
    }
    const double distance = w1(at::cat(x), at::cat(log_weights), law);
    RecordProperty(std::string("w1_") + name, std::to_string(distance));
    EXPECT_LT(distance, tolerance) << name;
  };
  ParticleOptions particles;
  particles.particles = kParticles;
  FkOptions f{particles, kEach * kElements};
  f.interval = 5;
  check("fk", 0.02, [&](const SamplerInput& in) { return sample_fk(in, flow_sde(0.7), mean_reward(), f); });
  const GuidedSmcOptions s{particles, kEach * kElements};
  check("guided_smc", 0.02,
        [&](const SamplerInput& in) { return sample_guided_smc(in, flow_sde(0.7), mean_reward(), s); });
  const DasOptions d{particles, kEach * kElements};
  check("das", 0.02, [&](const SamplerInput& in) { return sample_das(in, flow_sde(0.7), mean_reward(), d); });
  // The base is far away.
  f.lambda = 0.0;
  const auto in = particle_input(base(), 100, kParticles, 7, {4, 1, 4, 4});
  EXPECT_GT(weighted_w1(sample_fk(in, flow_sde(0.7), mean_reward(), f), law), 0.12);
}

}  // namespace
}  // namespace thalweg
