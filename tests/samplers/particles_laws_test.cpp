// What holds for particle methods whatever the reward: base samplers, groups, masks, records.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "samplers/guidance/euphonium.h"
#include "samplers/particles/svdd.h"
#include "samplers/reward_gradient.h"
#include "tests/samplers/particle_laws.h"

namespace thalweg {
namespace {

using namespace particle_laws;

TEST(ParticleLaws, OneParticleIsTheBaseSampler) {
  for (const auto dtype : {at::kFloat, at::kDouble})
    for (const auto& [kernel_name, kernel] : kernels()) {
      const auto in = groups_of(1, {0, 1, 2, 3, 4}, dtype);
      const auto base = base_run(in, kernel);
      for (const auto& [name, method] : methods(1, 0.0))
        EXPECT_TRUE(at::equal(method(in, kernel, wavy).x0_BCFHW, base)) << name << " " << kernel_name;
      for (const auto& potential : potential_names()) {
        const auto t = sample_fk(in, kernel, wavy, {particles(1), 5.0, potential});
        EXPECT_TRUE(at::equal(t.x0_BCFHW, base)) << potential;
      }
      SvddOptions o;
      o.candidates = 1;
      EXPECT_TRUE(at::equal(sample_svdd(in, kernel, wavy, o).x0_BCFHW, base));
    }
}

TEST(ParticleLaws, OneParticleWithAGradientIsTheGuidedSampler) {
  const double lambda = 4.0;
  const auto kernel = flow_sde(0.7);
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const auto in = groups_of(1, {0, 1, 2, 3, 4}, dtype);
    // The mean is `share` std^2 `strength` grad further.
    const auto guided = [&](double share, const std::function<double(int64_t)>& strength) -> Velocity {
      return [&in, share, strength](const at::Tensor& x, const Step& step, const Conditioning& c) {
        const auto ahead = look_ahead(in.velocity, wavy, x, step, c, WithGradient::yes);
        return pushed(ahead.v_BCFHW, ahead.gradient_BCFHW * strength(step.index),
                      share * step.kernel.std * step.kernel.std, step.kernel);
      };
    };
    const auto smc = sample_guided_smc(in, kernel, wavy, {particles(1), lambda});
    const auto smc_base = guided(0.5 * lambda, [](int64_t) { return 1.0; });
    EXPECT_TRUE(at::equal(smc.x0_BCFHW, base_run(in, kernel, smc_base)));
    // That is Euphonium's, whose beta is 1 / lambda.
    EuphoniumOptions e;
    e.guidance_scale = 0.0;
    e.beta = 1.0 / lambda;
    const auto euphonium_run = base_run(in, kernel, euphonium(clean_gradient(wavy), e)(in.velocity));
    EXPECT_TRUE(at::allclose(smc.x0_BCFHW, euphonium_run, 1e-4, dtype == at::kFloat ? 1e-4 : 1e-11));
    const auto das = sample_das(in, kernel, wavy, {particles(1), lambda});
    const auto das_base =
        guided(1.0, [&](int64_t i) { return lambda * das_scale(das_tempering(kSteps), i + 1); });
    EXPECT_TRUE(at::equal(das.x0_BCFHW, base_run(in, kernel, das_base)));
    EXPECT_FALSE(at::allclose(das.x0_BCFHW, base_run(in, kernel), 1e-2, 1e-2));
  }
}

TEST(ParticleLaws, StrengthZeroLeavesEveryParticleAlone) {
  const auto in = groups_of(4, {0, 1, 2});
  for (const auto& [kernel_name, kernel] : kernels())
    for (const auto& [name, method] : methods(4, 0.0)) {
      const auto t = method(in, kernel, wavy);
      EXPECT_TRUE(at::equal(t.x0_BCFHW, base_run(in, kernel))) << name;
      EXPECT_TRUE((t.particles->log_weights_B == 0.0).all().item<bool>()) << name;
      if (name == "best_of_n") continue;
      EXPECT_TRUE((t.particles->ess_TG == 4.0).all().item<bool>()) << name;
      EXPECT_TRUE((t.particles->log_evidence_G.abs() < 1e-12).all().item<bool>()) << name;
    }
}

TEST(ParticleLaws, GroupsAreApart) {
  const auto together = groups_of(4, {5, 6, 7});
  for (const auto& [name, method] : methods(4, 6.0)) {
    const auto all = method(together, flow_sde(0.7), wavy);
    // Alone, and in another order.
    const auto permuted = method(groups_of(4, {7, 5, 6}), flow_sde(0.7), wavy);
    for (int64_t g = 0; g < 3; ++g) {
      const auto rows = all.x0_BCFHW.slice(0, 4 * g, 4 * g + 4);
      const auto weights = all.particles->log_weights_B.slice(0, 4 * g, 4 * g + 4);
      const auto alone = method(groups_of(4, {5 + g}), flow_sde(0.7), wavy);
      EXPECT_TRUE(at::allclose(alone.x0_BCFHW, rows, 1e-9, 1e-9)) << name;
      EXPECT_TRUE(at::allclose(alone.particles->log_weights_B, weights, 1e-9, 1e-9)) << name;
      const int64_t at = 4 * ((g + 1) % 3);
      EXPECT_TRUE(at::allclose(permuted.x0_BCFHW.slice(0, at, at + 4), rows, 1e-9, 1e-9)) << name;
    }
  }
}

TEST(ParticleLaws, AMaskedParticleHasNoWeightInTheEnd) {
  // Slot 1 of group 0 and all of group 1 are never scored.
  const auto in = groups_of(3, {0, 1});
  for (const auto& [name, method] : methods(3, 6.0)) {
    const auto t = method(in, flow_sde(0.7), partly_lost({1, 3, 4, 5}));
    const auto& record = *t.particles;
    EXPECT_TRUE(t.x0_BCFHW.isfinite().all().item<bool>()) << name;
    if (name == "best_of_n") continue;
    EXPECT_EQ(record.log_weights_B[1].item<double>(), -INFINITY) << name;
    for (const int64_t b : {0, 2}) EXPECT_TRUE(std::isfinite(record.log_weights_B[b].item<double>())) << name;
    // The group without rewards keeps its particles and says so.
    const auto ancestors = record.ancestors_B.slice(0, 3, 6);
    EXPECT_TRUE(at::equal(ancestors, at::arange(3))) << name;
    EXPECT_TRUE(record.log_weights_B.slice(0, 3, 6).isfinite().all().item<bool>()) << name;
    EXPECT_EQ(record.unscored_TG[-1][0].item<int64_t>(), 1) << name;
    EXPECT_EQ(record.unscored_TG[-1][1].item<int64_t>(), 3) << name;
    EXPECT_TRUE((record.survivors_TG.select(1, 1) == 1.0).all().item<bool>()) << name;
    EXPECT_TRUE(std::isfinite(record.log_evidence_G[0].item<double>())) << name;
    EXPECT_TRUE(std::isnan(record.log_evidence_G[1].item<double>())) << name;
  }
}

TEST(ParticleLaws, AnUnscoredParticleIsResampledWithTheWeightItHad) {
  const auto in = groups_of(4, {0, 1});
  Particles state(in, {4, "systematic", 1.0, "draw"});
  state.weigh(at::tensor({0.0, -900.0, -900.0, -900.0, 1.0, 1.0, 1.0, 1.0}, at::kDouble));
  state.weigh(at::tensor({kNan, 2.0, 2.0, 2.0, kNan, kNan, 0.5, 0.5}, at::kDouble));
  const auto rows = state.resample(0);
  // All of group 0 are copies of the one with the weight; in group 1 the scored ones are a little heavier.
  EXPECT_TRUE(at::equal(rows.slice(0, 0, 4), at::zeros({4}, at::kLong)));
  const auto record =
      state.finish(at::tensor({0.5, kNan, kNan, kNan, kNan, 0.0, 0.0, kNan}, at::kDouble), {});
  EXPECT_EQ(record.unscored_TG[0][0].item<int64_t>(), 1);
  EXPECT_EQ(record.unscored_TG[0][1].item<int64_t>(), 2);
  // log(e^0 / 4), then the mean over the one particle with a score.
  EXPECT_NEAR(record.log_evidence_G[0].item<double>(), 0.5 - std::log(4.0), 1e-12);
  EXPECT_NEAR(record.log_evidence_G[1].item<double>(), 1.0 + std::log((1.0 + std::exp(0.5)) / 2.0), 1e-12);
}

TEST(ParticleLaws, ARewardThatFailsOnceLosesNoParticle) {
  // Without resampling a particle that was not scored in between ends with the weight of its final reward.
  const auto in = groups_of(4, {0, 1});
  for (const auto& potential : potential_names()) {
    const FkOptions o{particles(4, "ssp", 0.0), 2.0, potential, "clean_estimate", 1};
    const RewardValue once = [](const at::Tensor& x, const Step& step, const Conditioning& c) {
      return step.index == 3 ? partly_lost({1, 2, 6})(x, step, c) : wavy(x, step, c);
    };
    const auto t = sample_fk(in, flow_sde(0.7), once, o);
    const auto expected = 2.0 * wavy(t.x0_BCFHW, {}, {});
    EXPECT_TRUE(at::allclose(t.particles->log_weights_B, expected, 1e-12, 1e-12)) << potential;
  }
}

TEST(ParticleLaws, LineagesAreRecorded) {
  // Without noise a particle is its ancestor's.
  const auto in = groups_of(6, {0, 1});
  const auto base = base_run(in, flow_sde(0.0));
  const auto t = sample_fk(in, flow_sde(0.0), wavy, {particles(6), 20.0, "diff", "clean_estimate", 3});
  const auto rows = t.particles->ancestors_B + at::arange(2).repeat_interleave(6) * 6;
  EXPECT_TRUE(at::allclose(t.x0_BCFHW, base.index_select(0, rows), 1e-12, 1e-12));
  EXPECT_LT(t.particles->survivors_TG.min().item<double>(), 1.0);
  EXPECT_EQ(t.particles->ess_TG.sizes(), at::IntArrayRef({kSteps + 1, 2}));
  // With noise, clones part ways.
  const auto noisy = sample_fk(in, flow_sde(0.7), wavy, {particles(6), 20.0, "diff", "clean_estimate", 3});
  for (int64_t a = 0; a < 12; ++a)
    for (int64_t b = 0; b < a; ++b) EXPECT_FALSE(at::equal(noisy.x0_BCFHW[a], noisy.x0_BCFHW[b]));
}

// Without resampling the effective sample sizes are those of the products of potentials, worked out here from
// the rewards that were seen.
TEST(ParticleLaws, PotentialsAreThoseOfThePaper) {
  const double lambda = 3.0;
  const auto in = groups_of(5, {0, 1});
  const std::vector<std::pair<std::string, std::function<double(const std::vector<double>&)>>> potentials = {
      {"diff", [](const auto& r) { return r.size() == 1 ? r[0] : r.back() - r[r.size() - 2]; }},
      {"max", [](const auto& r) { return *std::max_element(r.begin(), r.end()); }},
      {"add", [](const auto& r) { return std::accumulate(r.begin(), r.end(), 0.0); }},
      {"rt", [](const auto& r) { return r.back(); }}};
  for (const auto& [name, potential] : potentials) {
    std::vector<at::Tensor> seen;
    const RewardValue reward = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
      seen.push_back(wavy(x, step, c));
      return seen.back();
    };
    const auto t =
        sample_fk(in, flow_sde(0.7), reward, {particles(5, "ssp", 0.0), lambda, name, "clean_estimate", 1});
    ASSERT_EQ(seen.size(), static_cast<size_t>(kSteps + 1));
    std::vector<double> log_weights(10);
    for (int64_t i = 0; i < kSteps; ++i)
      for (int64_t g = 0; g < 2; ++g) {
        double sum = 0.0, squares = 0.0;
        for (int64_t b = 5 * g; b < 5 * g + 5; ++b) {
          std::vector<double> rewards;
          for (int64_t k = 0; k <= i; ++k) rewards.push_back(seen[static_cast<size_t>(k)][b].item<double>());
          auto& log_weight = log_weights[static_cast<size_t>(b)];
          log_weight += lambda * potential(rewards);
          sum += std::exp(log_weight);
          squares += std::exp(2.0 * log_weight);
        }
        EXPECT_NEAR(t.particles->ess_TG[i][g].item<double>(), sum * sum / squares, 1e-9) << name << " " << i;
      }
    EXPECT_TRUE(at::allclose(t.particles->log_weights_B, lambda * seen.back(), 1e-10, 1e-10)) << name;
    EXPECT_TRUE(at::equal(t.particles->rewards_B, seen.back()));
  }
}

}  // namespace
}  // namespace thalweg
