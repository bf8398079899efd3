// DAS and SVDD against closed forms: the like of steering_and_distillation.md, 12, T8 to T10.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "samplers/particles/das.h"
#include "samplers/particles/svdd.h"
#include "tests/samplers/kernels.h"
#include "tests/samplers/particles_laboratory.h"

namespace thalweg {
namespace {

using namespace particles_exact;

TEST(Das, WeightsCorrectTheTwist) {
  const auto in = particle_input(base(), 200, 20000, 5);
  DasOptions o;
  o.lambda = kTilt;
  const auto check = [&](const std::string& name, const Kernel& kernel, const std::string& value) {
    o.value = value;
    o.particles.particles = 20000;
    const auto t = sample_das(in, kernel, mean_reward(), o);
    RecordProperty("w1_" + name, std::to_string(weighted_w1(t, tilted())));
    EXPECT_LT(weighted_w1(t, tilted()), 0.02) << name;
    EXPECT_NEAR(t.particles->log_evidence_G.item<double>(), linear_tilt(base(), kTilt).log_evidence, 0.03);
    o.particles.particles = 1;
    const auto uncorrected = w1(sample_das(in, kernel, mean_reward(), o).x0_BCFHW, tilted());
    RecordProperty("w1_uncorrected_" + name, std::to_string(uncorrected));
    EXPECT_GT(uncorrected, 0.1) << name;
  };
  check("flow_sde", flow_sde(0.7), "clean_estimate");
  check("memoryless", memoryless(), "clean_estimate");
  check("noisy_latents", flow_sde(0.7), "noisy_latents");
}

TEST(Das, IsExactForTheSamplerOfFewSteps) {
  // Ten steps do not sample the mixture; the weights tilt what they do sample. Its own base run, weighed by
  // e^{lambda r}, says the same.
  const auto in = particle_input(base(), 10, 40000, 15);
  auto is = fk(40000, 1);
  is.potential = "is";
  const auto reference = sample_fk(in, flow_sde(0.7), mean_reward(), is);
  DasOptions o;
  o.lambda = kTilt;
  o.particles.particles = 40000;
  const auto t = sample_das(in, flow_sde(0.7), mean_reward(), o);
  EXPECT_NEAR(weighted_mean(t), weighted_mean(reference), 0.02);
  EXPECT_NEAR(t.particles->log_evidence_G.item<double>(), reference.particles->log_evidence_G.item<double>(),
              0.02);
  EXPECT_GT(weighted_w1(t, tilted()), 0.02);
}

TEST(Das, ScaleFollowsThePaper) {
  EXPECT_EQ(das_scale(0.008, 0), 0.0);
  EXPECT_NEAR(das_scale(0.008, 10), std::pow(1.008, 10) - 1.0, 1e-15);
  EXPECT_LT(das_scale(0.008, 86), 1.0);
  EXPECT_EQ(das_scale(0.008, 88), 1.0);
  EXPECT_NEAR(das_tempering(100), 0.008, 1e-4);
  EXPECT_NEAR(das_scale(das_tempering(8), 7), 1.0, 1e-12);
}

TEST(Svdd, IsExactWithSoftValues) {
  SvddOptions o;
  o.value = "noisy_latents";
  o.temperature = 1.0;
  std::vector<double> means;
  for (const int64_t candidates : {1, 2, 16}) {
    o.candidates = candidates;
    const auto in = particle_input(base(), 100, 5000, 6);
    const auto t = sample_svdd(in, flow_sde(std::sqrt(2.0)), linear_soft_value(base(), kTilt), o);
    means.push_back(t.x0_BCFHW.mean().item<double>());
    RecordProperty("mean_" + std::to_string(candidates), std::to_string(means.back()));
  }
  EXPECT_NEAR(means[0], mean_of(base()), 0.06);
  EXPECT_GT(means[1], means[0] + 0.2);
  EXPECT_NEAR(means[2], mean_of(tilted()), 0.06);
}

// With another kernel x_0 depends on x_1, which nothing tilts: what svdd.h and README.md say.
TEST(Svdd, FallsShortOfTheTiltUnlessTheKernelIsMemoryless) {
  SvddOptions o;
  o.value = "noisy_latents";
  o.temperature = 1.0;
  o.candidates = 16;
  const auto mean = [&](const Kernel& kernel) {
    const auto in = particle_input(base(), 60, 800, 6);
    return sample_svdd(in, kernel, linear_soft_value(base(), kTilt), o).x0_BCFHW.mean().item<double>();
  };
  EXPECT_NEAR(mean(memoryless()), mean_of(tilted()), 0.2);
  EXPECT_LT(mean(flow_sde(0.7)), mean_of(tilted()) - 0.5);
  EXPECT_LT(mean(dance_sde(0.7)), mean_of(tilted()) - 0.5);
}

TEST(Svdd, TemperatureZeroTakesTheBest) {
  const auto in = particle_input(base(), 50, 2000, 8);
  SvddOptions o;
  o.temperature = 0.0;
  o.candidates = 8;
  const auto t = sample_svdd(in, memoryless(), mean_reward(), o);
  EXPECT_GT(t.x0_BCFHW.mean().item<double>(), 1.3);
  EXPECT_TRUE((t.particles->ess_TG == 1.0).all().item<bool>());
}

}  // namespace
}  // namespace thalweg
