#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "engine/core/rng.h"
#include "samplers/particles/resample.h"
#include "samplers/particles/weights.h"
#include "tests/samplers/particle_laws.h"

namespace thalweg {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Uniforms uniforms(uint64_t seed) {
  return [seed](int64_t k) { return random_uniform(seed, Purpose::resampling, static_cast<uint64_t>(k), 0); };
}

const std::vector<double> kWeights = {0.31, 0.02, 0.0, 1.4, 0.6, 0.0, 0.17, 0.5};

struct Offspring {
  std::vector<double> mean, variance;
};

// Over many resamplings of kWeights, each checked.
Offspring offspring_of(const std::string& name, bool rounds) {
  const size_t n = kWeights.size();
  const double sum = std::accumulate(kWeights.begin(), kWeights.end(), 0.0);
  const int repeats = 20000;
  Offspring moments{std::vector<double>(n), std::vector<double>(n)};
  for (int r = 0; r < repeats; ++r) {
    const auto offspring = resampling_named(name)(kWeights, uniforms(static_cast<uint64_t>(r)));
    EXPECT_EQ(std::accumulate(offspring.begin(), offspring.end(), int64_t{0}), static_cast<int64_t>(n));
    for (size_t i = 0; i < n; ++i) {
      const double expected = static_cast<double>(n) * kWeights[i] / sum;
      const auto count = static_cast<double>(offspring[i]);
      if (rounds) {
        EXPECT_GE(count, std::floor(expected)) << name << " of " << i;
        EXPECT_LE(count, std::ceil(expected)) << name << " of " << i;
      }
      if (kWeights[i] == 0.0) {
        EXPECT_EQ(offspring[i], 0);
      }
      moments.mean[i] += count / repeats;
      moments.variance[i] += (count - expected) * (count - expected) / repeats;
    }
  }
  for (size_t i = 0; i < n; ++i)
    EXPECT_NEAR(moments.mean[i], static_cast<double>(n) * kWeights[i] / sum,
                4.0 * std::sqrt(moments.variance[i] / repeats) + 1e-12)
        << name << " of " << i;
  return moments;
}

TEST(Resampling, IsUnbiasedAndRoundsWhereItShould) {
  const auto systematic = offspring_of("systematic", true), ssp = offspring_of("ssp", true);
  const auto multinomial = offspring_of("multinomial", false);
  // Sum of N p (1 - p) against that of f (1 - f), f the fraction of N p.
  const auto total = [](const Offspring& o) {
    return std::accumulate(o.variance.begin(), o.variance.end(), 0.0);
  };
  EXPECT_GT(total(multinomial), 2.0 * total(systematic));
  EXPECT_GT(total(multinomial), 2.0 * total(ssp));
}

TEST(Resampling, EqualWeightsLeaveEveryParticleWhereItIs) {
  for (const auto* name : {"systematic", "ssp"})
    for (const int64_t n : {1, 2, 3, 7, 64, 1000})
      for (const double w : {1.0, 0.1, 1.0 / 3.0}) {
        const auto offspring =
            resampling_named(name)(std::vector<double>(static_cast<size_t>(n), w), uniforms(3));
        std::vector<int64_t> identity(static_cast<size_t>(n));
        std::iota(identity.begin(), identity.end(), int64_t{0});
        EXPECT_EQ(ancestors_of(offspring), identity) << name << " of " << n;
      }
}

TEST(Resampling, ManyParticlesNeverGetLost) {
  // Weights whose sum rounds, over 200 orders of magnitude.
  for (const auto& name : resampling_names())
    for (uint64_t seed = 0; seed < 40; ++seed) {
      std::vector<double> weights(5000);
      for (size_t i = 0; i < weights.size(); ++i)
        weights[i] = std::exp(-200.0 * random_uniform(seed, Purpose::data, i, 0));
      const auto offspring = resampling_named(name)(weights, uniforms(seed));
      EXPECT_EQ(std::accumulate(offspring.begin(), offspring.end(), int64_t{0}), 5000);
    }
}

TEST(Resampling, UniformsAtTheirEndsStayInside) {
  const Uniforms lowest = [](int64_t) { return 0.0; };
  const Uniforms highest = [](int64_t) { return 1.0 - 0x1p-53; };
  for (const auto& name : resampling_names())
    for (const auto& u : {lowest, highest}) {
      const auto offspring = resampling_named(name)(kWeights, u);
      EXPECT_EQ(std::accumulate(offspring.begin(), offspring.end(), int64_t{0}), 8);
      EXPECT_EQ(offspring[2] + offspring[5], 0);
    }
  EXPECT_EQ(draw_index({0.0, 2.0, 1.0, 0.0}, 0.0), 1);
  EXPECT_EQ(draw_index({0.0, 2.0, 1.0, 0.0}, 1.0 - 0x1p-53), 2);
}

TEST(Resampling, WeightsWithoutASumAreABug) {
  for (const auto& name : resampling_names()) {
    EXPECT_THROW(resampling_named(name)({0.0, 0.0}, uniforms(1)), c10::Error);
    EXPECT_THROW(resampling_named(name)({1.0, NAN}, uniforms(1)), c10::Error);
  }
  EXPECT_THROW(resampling_named("residual"), c10::Error);
}

TEST(Ancestors, SurvivorsStayAndCopiesFillTheGaps) {
  EXPECT_EQ(ancestors_of({0, 3, 1, 0, 0, 2}), (std::vector<int64_t>{1, 1, 2, 1, 5, 5}));
  EXPECT_EQ(ancestors_of({1, 1, 1}), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(ancestors_of({0, 0, 3}), (std::vector<int64_t>{2, 2, 2}));
}

TEST(Weights, EffectiveSampleSizeAndEvidence) {
  const auto lw =
      at::log(at::tensor({0.5, 0.25, 0.25, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0}, at::kDouble))
          .view({3, 4});
  const auto ess = effective_sample_size(lw + 800.0);
  EXPECT_NEAR(ess[0].item<double>(), 1.0 / 0.375, 1e-12);
  EXPECT_EQ(ess[1].item<double>(), 4.0);
  EXPECT_EQ(ess[2].item<double>(), 0.0);
  const auto evidence = log_mean_exp(lw - 800.0);
  EXPECT_NEAR(evidence[0].item<double>(), std::log(0.25) - 800.0, 1e-9);
  EXPECT_NEAR(evidence[1].item<double>(), -800.0, 1e-9);
  EXPECT_EQ(evidence[2].item<double>(), -kInf);
}

using namespace particle_laws;

TEST(Particles, AGroupIsResampledWhereItsWeightsDiffer) {
  const auto in = groups_of(4, {0, 1, 2});
  Particles state(in, {4, "systematic", 0.5, "draw"});
  EXPECT_FALSE(state.resample(0).defined());
  // Group 0: ESS of 4; group 1: of 1; group 2: of 2.9, which waits.
  const auto factor = at::tensor({0.0, 0.0, 0.0, 0.0, -90.0, -90.0, 5.0, -90.0, 0.0, 0.0, 1.0, -1.0});
  state.weigh(factor);
  const auto rows = state.resample(1);
  EXPECT_TRUE(at::equal(rows, at::tensor({0, 1, 2, 3, 6, 6, 6, 6, 8, 9, 10, 11}, at::kLong)));
  const auto record = state.finish(at::zeros({12}, at::kDouble), {});
  // What was skipped is still there.
  EXPECT_TRUE(at::allclose(record.log_weights_B.slice(0, 8, 12), factor.slice(0, 8, 12)));
  EXPECT_TRUE((record.log_weights_B.slice(0, 4, 8) == 0.0).all().item<bool>());
  EXPECT_TRUE(at::equal(record.ancestors_B.slice(0, 4, 8), at::tensor({2, 2, 2, 2}, at::kLong)));
  EXPECT_NEAR(record.log_evidence_G[1].item<double>(), 5.0 - std::log(4.0), 1e-12);
  EXPECT_NEAR(record.log_evidence_G[2].item<double>(), std::log((2.0 + std::exp(1.0) + std::exp(-1.0)) / 4.0),
              1e-12);
  EXPECT_EQ(record.survivors_TG[1][1].item<double>(), 0.25);
}

TEST(Particles, BatchesThatAreNoGroupsAreABug) {
  const auto in = groups_of(4, {0});
  EXPECT_THROW(Particles(in, {3, "ssp", 0.5, "draw"}), c10::Error);
  EXPECT_THROW(Particles(in, {0, "ssp", 0.5, "draw"}), c10::Error);
  EXPECT_THROW(sample_best_of_n(in, flow_sde(0.7), wavy, {3}), c10::Error);
}

}  // namespace
}  // namespace thalweg
