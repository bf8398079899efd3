// What holds for particle methods whatever the reward: base samplers, groups, masks, records, cost.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "engine/models/sd3/sd3_model.h"
#include "samplers/guidance/euphonium.h"
#include "samplers/particles/best_of_n.h"
#include "samplers/particles/das.h"
#include "samplers/particles/fk.h"
#include "samplers/particles/guided_smc.h"
#include "samplers/particles/svdd.h"
#include "samplers/reward_gradient.h"
#include "tests/samplers/analytic.h"
#include "tests/samplers/kernels.h"

namespace thalweg {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kSteps = 8;

// Particles of a group share a prompt.
SamplerInput groups_of(int64_t particles, const std::vector<int64_t>& groups,
                       at::ScalarType dtype = at::kDouble) {
  std::vector<int64_t> slots, prompts;
  for (const auto g : groups)
    for (int64_t p = 0; p < particles; ++p) {
      slots.push_back(g * particles + p);
      prompts.push_back(g);
    }
  auto input = sampler_input(sd3_schedule(kSteps, 3.0), dtype, slots);
  input.conditioning = analytic_conditioning(prompts);
  return input;
}

at::Tensor wavy(const at::Tensor& x, const Step&, const Conditioning&) {
  return at::sin(x * 1.3).flatten(1).mean(1).to(at::kCPU, at::kDouble) * 3.0;
}

// NaN where the samples' slots are among `lost`, from step `first` on.
RewardValue partly_lost(std::set<int64_t> lost, int64_t first = 0) {
  return [lost = std::move(lost), first](const at::Tensor& x, const Step& step, const Conditioning& c) {
    auto factor = at::ones({x.size(0)}, at::kDouble);
    for (size_t b = 0; b < step.slot_B.size(); ++b)
      if (step.index >= first && lost.contains(step.slot_B[b])) factor[static_cast<int64_t>(b)] = kNan;
    return wavy(x, step, c) * factor;
  };
}

at::Tensor base_run(const SamplerInput& in, const Kernel& kernel) {
  return sample_transitions(in, kernel).x0_BCFHW;
}

at::Tensor base_run(SamplerInput in, const Kernel& kernel, const Velocity& guided) {
  in.velocity = guided;
  return base_run(in, kernel);
}

// Every method with N particles (SVDD: N candidates) and strength lambda.
using Method = std::function<Trajectory(const SamplerInput&, const Kernel&, const RewardValue&)>;
struct Named {
  std::string name;
  Method method;
};

ParticleOptions particles(int64_t n, const std::string& resampling = "ssp", double threshold = 1.0) {
  return {n, resampling, threshold, "draw"};
}

std::vector<Named> methods(int64_t n, double lambda) {
  std::vector<Named> all;
  for (const auto& potential : potential_names())
    for (const auto& value : {"clean_estimate", "noisy_latents"})
      all.push_back({"fk " + potential + " " + value, [=](const auto& in, const auto& k, const auto& r) {
                       return sample_fk(in, k, r, {particles(n), lambda, potential, value, 2, 1, 6});
                     }});
  for (const auto& resampling : resampling_names())
    all.push_back({"fk " + resampling, [=](const auto& in, const auto& k, const auto& r) {
                     FkOptions o{particles(n, resampling, 0.5), lambda};
                     o.interval = 1;
                     return sample_fk(in, k, r, o);
                   }});
  all.push_back({"das", [=](const auto& in, const auto& k, const auto& r) {
                   return sample_das(in, k, r, {particles(n), lambda});
                 }});
  all.push_back({"guided_smc", [=](const auto& in, const auto& k, const auto& r) {
                   return sample_guided_smc(in, k, r, {particles(n), lambda});
                 }});
  all.push_back({"best_of_n", [=](const auto& in, const auto& k, const auto& r) {
                   return sample_best_of_n(in, k, r, {n});
                 }});
  return all;
}

std::vector<NamedKernel> kernels() {
  auto all = noisy_kernels();
  all.push_back({"ode", ode()});
  return all;
}

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

TEST(ParticleLaws, AMaskedParticleHasNoOffspring) {
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
    EXPECT_FALSE(record.log_evidence_G.isnan().any().item<bool>()) << name;
  }
  const auto t =
      sample_fk(in, flow_sde(0.7), partly_lost({1}), {particles(3), 6.0, "diff", "clean_estimate", 1});
  for (const int64_t b : {0, 1, 2}) EXPECT_NE(t.particles->ancestors_B[b].item<int64_t>(), 1);
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

struct Calls {
  int64_t velocity = 0, reward = 0;
};

Calls calls_of(const Method& method, SamplerInput in) {
  Calls calls;
  const auto inner = in.velocity;
  in.velocity = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    EXPECT_EQ(x.size(0), static_cast<int64_t>(step.slot_B.size()));
    EXPECT_EQ(x.size(0), c.batch());
    calls.velocity += x.size(0);
    return inner(x, step, c);
  };
  method(in, flow_sde(0.7), [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    EXPECT_EQ(x.size(0), static_cast<int64_t>(step.slot_B.size()));
    EXPECT_EQ(x.size(0), step.sigma_B.size(0));
    EXPECT_EQ(x.size(0), c.batch());
    calls.reward += x.size(0);
    return wavy(x, step, c);
  });
  return calls;
}

TEST(ParticleLaws, NothingIsAskedTwice) {
  const auto in = groups_of(4, {0, 1});  // 8 samples
  const auto expect = [&](const Method& method, int64_t velocity, int64_t reward, const char* name) {
    const auto calls = calls_of(method, in);
    EXPECT_EQ(calls.velocity, 8 * velocity) << name;
    EXPECT_EQ(calls.reward, 8 * reward) << name;
  };
  const auto fk = [](FkOptions o) -> Method {
    return [o](const auto& i, const auto& k, const auto& r) { return sample_fk(i, k, r, o); };
  };
  expect(fk({particles(4), 1.0, "diff", "clean_estimate", 2, 1, 6}), kSteps, 3 + 1, "fk");
  expect(fk({particles(4), 1.0, "is", "clean_estimate", 1}), kSteps, 1, "fk is");
  expect(fk({particles(1), 1.0, "diff", "clean_estimate", 1}), kSteps, 1, "fk of one");
  expect([](const auto& i, const auto& k, const auto& r) { return sample_das(i, k, r, {particles(4)}); },
         kSteps, kSteps + 1, "das");
  expect(
      [](const auto& i, const auto& k, const auto& r) { return sample_guided_smc(i, k, r, {particles(4)}); },
      2 * kSteps - 1, 2 * kSteps + 1, "guided_smc");
  expect(
      [](const auto& i, const auto& k, const auto& r) {
        return sample_guided_smc(i, k, r, {particles(4), 1.0, "noisy_latents", 3});
      },
      kSteps, 2 * (kSteps - 3) + 1, "guided_smc of noisy latents");
  expect([](const auto& i, const auto& k, const auto& r) { return sample_best_of_n(i, k, r, {4}); }, kSteps,
         1, "best_of_n");
  // The gradient only where the step draws noise.
  int64_t gradients = 0, velocities = 0;
  auto counted_in = in;
  counted_in.velocity = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    ++velocities;
    return in.velocity(x, step, c);
  };
  const RewardValue counted = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    gradients += x.requires_grad();
    return wavy(x, step, c);
  };
  const Kernel late = [](const Schedule& schedule, int64_t i) {
    return i < 3 ? euler(schedule, i) : flow_sde(0.7)(schedule, i);
  };
  sample_das(counted_in, late, counted, {particles(4)});
  EXPECT_EQ(velocities, kSteps);
  EXPECT_EQ(gradients, kSteps - 3);
  sample_guided_smc(counted_in, late, counted, {particles(4)});
  EXPECT_EQ(velocities, kSteps + (2 * kSteps - 1) - 3);
  EXPECT_EQ(gradients, 2 * (kSteps - 3));
  const auto svdd = [](const std::string& value, int64_t begin) -> Method {
    return [=](const auto& i, const auto& k, const auto& r) {
      return sample_svdd(i, k, r, {5, 0.1, value, begin, 0, 2});
    };
  };
  expect(svdd("clean_estimate", 0), 1 + 5 * (kSteps - 1), 5 * kSteps, "svdd");
  expect(svdd("clean_estimate", 6), 7 + 5, 5 * 2, "svdd in a window");
  expect(svdd("noisy_latents", 0), kSteps, 5 * kSteps, "svdd of noisy latents");
}

TEST(SvddLaws, TheChoiceDoesNotDependOnHowManyAreEvaluatedAtOnce) {
  const auto in = groups_of(1, {0, 3, 8, 11});
  for (const double temperature : {0.0, 0.05}) {
    SvddOptions o{7, temperature};
    o.at_once = 7;
    const auto whole = sample_svdd(in, flow_sde(0.7), wavy, o);
    for (const int64_t at_once : {0, 1, 3}) {
      o.at_once = at_once;
      const auto parts = sample_svdd(in, flow_sde(0.7), wavy, o);
      EXPECT_TRUE(at::allclose(parts.x0_BCFHW, whole.x0_BCFHW, 1e-10, 1e-10));
      EXPECT_TRUE(at::allclose(parts.particles->ess_TG, whole.particles->ess_TG, 1e-8, 1e-8));
    }
    // Each sample alone, too.
    const auto alone = sample_svdd(groups_of(1, {8}), flow_sde(0.7), wavy, o);
    EXPECT_TRUE(at::allclose(alone.x0_BCFHW[0], whole.x0_BCFHW[2], 1e-10, 1e-10));
    EXPECT_FALSE(at::allclose(whole.x0_BCFHW, base_run(in, flow_sde(0.7)), 1e-2, 1e-2));
    EXPECT_EQ(whole.particles->ess_TG.sizes(), at::IntArrayRef({kSteps, 4}));
  }
}

TEST(SvddLaws, CandidatesThatAreNotScoredAreNotChosen) {
  const auto in = groups_of(1, {0, 1});
  SvddOptions o{5, 0.1};
  // None of sample 0 is scored: its own candidate goes on.
  const auto t = sample_svdd(in, flow_sde(0.7), partly_lost({0}), o);
  EXPECT_TRUE(at::allclose(t.x0_BCFHW[0], base_run(in, flow_sde(0.7))[0], 1e-12, 1e-12));
  EXPECT_TRUE((t.particles->unscored_TG.select(1, 0) == 5).all().item<bool>());
  EXPECT_TRUE((t.particles->unscored_TG.select(1, 1) == 0).all().item<bool>());
  // The sampler's own candidate is never scored: it never goes on.
  o.at_once = 5;
  const RewardValue without_first = [](const at::Tensor& x, const Step& step, const Conditioning& c) {
    auto values = wavy(x, step, c);
    values.slice(0, 0, 2).fill_(kNan);
    return values;
  };
  const auto others = sample_svdd(in, flow_sde(0.7), without_first, o);
  EXPECT_TRUE((others.particles->unscored_TG == 1).all().item<bool>());
  for (const int64_t b : {0, 1})
    EXPECT_FALSE(at::allclose(others.x0_BCFHW[b], base_run(in, flow_sde(0.7))[b], 1e-3, 1e-3));
}

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
