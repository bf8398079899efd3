// Laws of the Doob sampler on a small nonlinear velocity.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/models/sd3/sd3_model.h"
#include "samplers/doob/doob.h"
#include "samplers/doob/weights.h"
#include "tests/samplers/analytic.h"
#include "tests/samplers/kernels.h"

namespace thalweg {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

at::Tensor wave(const at::Tensor& x, const Step&, const Conditioning&) {
  return at::sin(x * 1.3).flatten(1).mean(1).to(at::kCPU, at::kDouble);
}

struct Count {
  int64_t network = 0, reward = 0;  // rows
};

Velocity counting(Count& count) {
  return [&count](const at::Tensor& x, const Step& step, const Conditioning& c) {
    EXPECT_EQ(x.size(0), step.sigma_B.size(0));
    EXPECT_EQ(x.size(0), static_cast<int64_t>(step.slot_B.size()));
    EXPECT_EQ(x.size(0), c.batch());
    count.network += x.size(0);
    return analytic_velocity(x, step, c);
  };
}

RewardValue counting_reward(Count& count) {
  return [&count](const at::Tensor& x, const Step& step, const Conditioning& c) {
    EXPECT_EQ(x.size(0), c.batch());
    count.reward += x.size(0);
    return wave(x, step, c);
  };
}

DoobOptions with_form(const std::string& lookahead, const std::string& form, int64_t candidates = 4) {
  DoobOptions o;
  o.candidates = candidates;
  o.lookahead = lookahead;
  o.form = form;
  return o;
}

const Schedule& schedule() {
  static const Schedule s = sd3_schedule(6, 3.0);
  return s;
}

std::vector<DoobOptions> every_combination() {
  std::vector<DoobOptions> all;
  for (const auto& lookahead : doob_lookaheads())
    for (const auto& form : doob_forms()) all.push_back(with_form(lookahead, form));
  return all;
}

at::Tensor sampled(const DoobOptions& o, const Kernel& kernel = flow_sde(0.7),
                   const std::vector<int64_t>& slots = {0, 1, 2, 3}, const RewardValue& reward = wave) {
  return sample_doob(sampler_input(schedule(), at::kFloat, slots), kernel, reward, o).x0_BCFHW;
}

at::Tensor base(const Kernel& kernel = flow_sde(0.7)) {
  return sample_transitions(sampler_input(schedule(), at::kFloat), kernel).x0_BCFHW;
}

TEST(DoobLaws, WhereNothingSteersItIsTheBaseSamplerBitForBit) {
  Count count;
  const auto reward = counting_reward(count);
  for (const auto& kernel : {flow_sde(0.7), dance_sde(0.3), memoryless()})
    for (auto o : every_combination()) {
      auto one = o, none = o, outside = o;
      one.candidates = 1;
      none.gamma = 0.0;
      outside.window_begin = 100;
      outside.window_size = 100;
      for (const auto& still : {one, none, outside})
        EXPECT_TRUE(at::equal(sampled(still, kernel, {0, 1, 2, 3}, reward), base(kernel)))
            << o.lookahead << o.form;
    }
  for (const auto& o : every_combination())
    EXPECT_TRUE(at::equal(sampled(o, ode(), {0, 1, 2, 3}, reward), base(ode()))) << "no noise, no candidates";
  EXPECT_EQ(count.reward, 0);
}

TEST(DoobLaws, EveryCombinationSteersUpTheReward) {
  const auto start = wave(base(), {}, {}).mean().item<double>();
  for (auto o : every_combination()) {
    o.candidates = 16;
    EXPECT_GT(wave(sampled(o), {}, {}).mean().item<double>(), start) << o.lookahead << " " << o.form;
  }
}

TEST(DoobLaws, PermutedRowsAndOtherBatchesGiveTheSameSamples) {
  for (auto o : every_combination()) {
    o.keep_best = o.lookahead != "noisy_latents";
    const auto all = sampled(o);
    EXPECT_TRUE(
        at::equal(sampled(o, flow_sde(0.7), {3, 1, 0, 2}), all.index_select(0, at::tensor({3, 1, 0, 2}))))
        << o.lookahead << " " << o.form;
    for (int64_t b = 0; b < 4; ++b)
      EXPECT_TRUE(at::equal(sampled(o, flow_sde(0.7), {b})[0], all[b])) << o.lookahead << " " << o.form;
  }
}

TEST(DoobLaws, NothingIsAskedTwice) {
  const auto counted = [](const DoobOptions& o) {
    Count count;
    auto in = sampler_input(schedule(), at::kFloat);
    in.velocity = counting(count);
    sample_doob(in, flow_sde(0.7), counting_reward(count), o);
    return count;
  };
  // 6 steps of 4 samples and 8 candidates; those of the last step are scored as they are.
  const auto recompute = counted(with_form("recompute", "pick", 8));
  EXPECT_EQ(recompute.network, 4 * (1 + 5 * 8));
  EXPECT_EQ(recompute.reward, 4 * 6 * 8);
  EXPECT_EQ(counted(with_form("recompute", "drift", 8)).network, 4 * (6 + 5 * 8));
  EXPECT_EQ(counted(with_form("shared", "pick", 8)).network, 4 * 6);
  EXPECT_EQ(counted(with_form("noisy_latents", "drift", 8)).network, 4 * 6);
  EXPECT_EQ(counted(with_form("shared", "vjp", 8)).reward, 4 * 5 * 8);  // not where t = 1
  auto rollout = with_form("rollout", "pick", 8);
  rollout.rollout_steps = 2;
  EXPECT_EQ(counted(rollout).network, 4 * (1 + 8 * (2 + 2 + 2 + 2 + 1)));
}

TEST(DoobLaws, AWindowSteersItsStepsAlone) {
  auto o = with_form("recompute", "pick");
  o.window_begin = 2;
  o.window_size = 2;
  Count count;
  auto in = sampler_input(schedule(), at::kFloat);
  in.velocity = counting(count);
  const auto trajectory = sample_doob(in, flow_sde(0.7), counting_reward(count), o);
  EXPECT_EQ(count.reward, 4 * 2 * 4);
  EXPECT_EQ(count.network, 4 * (2 + 1 + 2 * 4 + 1));  // the last pick is known to step 4
  const auto ess = trajectory.particles->ess_TG;
  for (const int64_t i : {0, 1, 4, 5}) EXPECT_TRUE((ess[i] == 1.0).all().item<bool>());
  for (const int64_t i : {2, 3}) EXPECT_TRUE((ess[i] > 1.0).all().item<bool>());
  EXPECT_EQ(trajectory.particles->survivors_TG[2][0].item<double>(), 0.25);
}

TEST(DoobLaws, CandidatesThatAreNotScoredAreNeverPicked) {
  // Only samples whose first element is below its base value are scored.
  const auto kernel =
      dance_sde(0.9);  // draws noise in the last step, whose candidates are scored as they are
  const auto limit_B = base(kernel).flatten(1).select(1, 0);
  const RewardValue half = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    const auto limit = limit_B.repeat({x.size(0) / 4});
    return at::where(x.flatten(1).select(1, 0) > limit, kNaN, wave(x, step, c));
  };
  auto o = with_form("shared", "pick", 8);
  o.window_begin = 5;
  o.window_size = 1;
  const auto trajectory = sample_doob(sampler_input(schedule(), at::kFloat), kernel, half, o);
  const auto unscored = trajectory.particles->unscored_TG[5];
  const auto picked = trajectory.x0_BCFHW.flatten(1).select(1, 0);
  ASSERT_TRUE(at::logical_and(unscored > 0, unscored < 8).any().item<bool>());
  EXPECT_TRUE(at::logical_or(picked <= limit_B, unscored == 8).all().item<bool>());
}

TEST(DoobLaws, AStepWithoutAnyScoreIsTheSamplersOwnAndCounted) {
  const auto kernel = flow_sde(0.7);
  const RewardValue none = [](const at::Tensor& x, const Step&, const Conditioning&) {
    return at::full({x.size(0)}, kNaN, at::kDouble);
  };
  const RewardValue not_two = [](const at::Tensor& x, const Step& step, const Conditioning& c) {
    auto r = wave(x, step, c);
    for (size_t i = 0; i < step.slot_B.size(); ++i)
      if (step.slot_B[i] == 2) r[static_cast<int64_t>(i)] = kNaN;
    return r;
  };
  for (auto o : every_combination()) {
    o.keep_best = o.lookahead != "noisy_latents";
    EXPECT_TRUE(at::equal(sampled(o, kernel, {0, 1, 2, 3}, none), base())) << o.lookahead << " " << o.form;
    const auto partly = sampled(o, kernel, {0, 1, 2, 3}, not_two), all = sampled(o);
    EXPECT_TRUE(at::equal(partly[2], base()[2])) << o.lookahead << " " << o.form;
    for (const int64_t b : {0, 1, 3})
      EXPECT_TRUE(at::equal(partly[b], all[b])) << o.lookahead << " " << o.form;
  }
  const auto record =
      *sample_doob(sampler_input(schedule(), at::kFloat), kernel, not_two, with_form("shared", "pick"))
           .particles;
  EXPECT_TRUE((record.unscored_TG.select(1, 2) == 4).all().item<bool>());
  EXPECT_TRUE((record.unscored_TG.select(1, 0) == 0).all().item<bool>());
}

TEST(DoobLaws, EqualRewardsSteerNothingButTheChoice) {
  const RewardValue flat = [](const at::Tensor& x, const Step&, const Conditioning&) {
    return at::full({x.size(0)}, 0.3, at::kDouble);
  };
  for (const auto& form : {"drift", "vjp"})
    EXPECT_TRUE(at::allclose(sampled(with_form("shared", form, 8), flow_sde(0.7), {0, 1, 2, 3}, flat), base(),
                             0.0, 1e-6));
}

TEST(DoobLaws, TheGreedyTailTakesTheBestCandidate) {
  auto o = with_form("shared", "pick", 16);
  o.window_begin = 5;
  o.window_size = 1;
  o.greedy_tail = 1;
  std::vector<at::Tensor> asked;
  const RewardValue watched = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    asked.push_back(wave(x, step, c));
    return asked.back();
  };
  const auto x0 = sampled(o, dance_sde(0.9), {0, 1, 2, 3}, watched);
  const auto best = at::cat(asked).view({16, 4}).amax(0);
  EXPECT_TRUE(at::allclose(wave(x0, {}, {}), best, 0.0, 1e-6));
}

TEST(DoobLaws, TheBestEstimateOfAllIsKeptWhereItBeatsTheSample) {
  auto o = with_form("recompute", "pick", 8);
  const auto drawn = wave(sampled(o), {}, {});
  o.keep_best = true;
  std::vector<at::Tensor> asked;
  const RewardValue watched = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    asked.push_back(wave(x, step, c).view({-1, 4}));
    return asked.back().flatten();
  };
  const auto kept = wave(sampled(o, flow_sde(0.7), {0, 1, 2, 3}, watched), {}, {});
  EXPECT_TRUE(at::allclose(kept, at::cat(asked).amax(0), 0.0, 1e-6));
  EXPECT_TRUE((kept >= drawn).all().item<bool>());
  EXPECT_TRUE((kept > drawn).any().item<bool>());
}

TEST(DoobLaws, MirrorImagesHaveOppositeNoise) {
  std::vector<at::Tensor> candidates;
  const RewardValue watched = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    candidates.push_back(x);
    return wave(x, step, c);
  };
  auto o = with_form("noisy_latents", "pick", 4);
  o.window_begin = 2;
  o.window_size = 1;
  sampled(o, flow_sde(0.7), {0, 1, 2, 3}, watched);
  const auto x = at::cat(candidates).unflatten(0, {4, 4});
  EXPECT_TRUE(at::allclose(x[0] + x[2], x[1] + x[3], 0.0, 1e-5));
  EXPECT_FALSE(at::allclose(x[0] + x[1], x[2] + x[3], 0.0, 1e-2));
  candidates.clear();
  o.antithetic = false;
  sampled(o, flow_sde(0.7), {0, 1, 2, 3}, watched);
  const auto free = at::cat(candidates).unflatten(0, {4, 4});
  EXPECT_FALSE(at::allclose(free[0] + free[2], free[1] + free[3], 0.0, 1e-2));
}

TEST(DoobLaws, WeightsAreASoftmaxOverWhatIsScored) {
  const auto r =
      at::tensor({1.0, 3.0, kNaN, 2.0, 5.0, 5.0, 5.0, 5.0, kNaN, kNaN, kNaN, kNaN}, at::kDouble).view({3, 4});
  const auto plain = candidate_weights(r, 0.5, false);
  const double total = std::exp(2.0) + std::exp(6.0) + std::exp(4.0);
  EXPECT_NEAR(plain.weights_BM[0][1].item<double>(), std::exp(6.0) / total, 1e-14);
  EXPECT_EQ(plain.weights_BM[0][2].item<double>(), 0.0);
  // Mean 2, standard deviation sqrt(2/3): the same whatever the scale and the origin of r.
  const auto ranked = candidate_weights(r, 0.5, true), scaled = candidate_weights(r * 100.0 + 7.0, 0.5, true);
  const double z = 2.0 * std::sqrt(1.5);
  EXPECT_NEAR(ranked.weights_BM[0][1].item<double>(), std::exp(z) / (std::exp(z) + 1.0 + std::exp(-z)),
              1e-14);
  EXPECT_TRUE(at::allclose(scaled.weights_BM, ranked.weights_BM, 0.0, 1e-12));
  for (const auto& w : {plain, ranked}) {
    EXPECT_TRUE((w.weights_BM[1] == 0.25).all().item<bool>());
    EXPECT_EQ(w.ess_B[1].item<double>(), 4.0);
    EXPECT_TRUE((w.weights_BM[2] == 0.0).all().item<bool>());
    EXPECT_EQ(w.ess_B[2].item<double>(), 4.0);
    EXPECT_FALSE(w.scored_BM[2].any().item<bool>());
  }
}

TEST(DoobLaws, BadOptionsAreRefused) {
  const auto refused = [](void (*spoil)(DoobOptions&)) {
    auto o = with_form("recompute", "pick");
    spoil(o);
    EXPECT_THROW(sampled(o), c10::Error);
  };
  refused([](DoobOptions& o) { o.candidates = 0; });
  refused([](DoobOptions& o) { o.candidates = 5; });  // no pairs
  refused([](DoobOptions& o) { o.temperature = 0.0; });
  refused([](DoobOptions& o) { o.temperature = kNaN; });
  refused([](DoobOptions& o) { o.rollout_steps = 0; });
  refused([](DoobOptions& o) { o.form = "push"; });
  refused([](DoobOptions& o) { o.lookahead = "guess"; });
  refused([](DoobOptions& o) {
    o.lookahead = "noisy_latents";
    o.keep_best = true;
  });
}

}  // namespace
}  // namespace thalweg
