// Laws of the Doob sampler on a small nonlinear velocity.

#include <cmath>

#include "tests/samplers/doob_laws.h"

namespace thalweg {
namespace {

using namespace doob_laws;

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

TEST(DoobLaws, EqualRewardsSteerNothingButTheChoice) {
  const RewardValue flat = [](const at::Tensor& x, const Step&, const Conditioning&) {
    return at::full({x.size(0)}, 0.3, at::kDouble);
  };
  for (const auto& form : {"drift", "vjp"})
    EXPECT_TRUE(at::allclose(sampled(with_form("shared", form, 8), flow_sde(0.7), {0, 1, 2, 3}, flat), base(),
                             0.0, 1e-6));
}

// g^ = g min(1, clip / rms(g)), which moves the mean by (t/(1-t)) g^ through the velocity.
TEST(DoobLaws, ClipBoundsTheGradientOfEachSample) {
  const auto kernel = dance_sde(0.3);
  const auto in = sampler_input(Schedule{{1.0, 0.5, 0.0}}, at::kDouble);  // the second step is guided
  const auto unguided = sample_transitions(in, kernel).x0_BCFHW;
  const auto moved = [&](double clip) {
    auto o = with_form("shared", "vjp", 8);
    o.clip = clip;
    return (sample_doob(in, kernel, wave, o).x0_BCFHW - unguided).flatten(1).square().mean(1).sqrt();
  };
  const double expected = 1e-3 * std::abs(step_of(kernel, in.schedule, 1, {0}).kernel.v_scale);
  EXPECT_TRUE(at::equal(moved(0.0), moved(1e6)));
  EXPECT_TRUE((moved(0.0) > 2.0 * expected).all().item<bool>());
  EXPECT_TRUE(at::allclose(moved(1e-3), at::full({4}, expected, at::kDouble), 1e-9, 0.0));
}

TEST(DoobLaws, AGateLetsNothingPullWhereRewardsAreLow) {
  for (const auto& form : {"drift", "vjp"}) {
    auto o = with_form("shared", form, 8);
    o.gate = true;
    o.gate_threshold = 1e3;
    EXPECT_TRUE(at::allclose(sampled(o), base(), 0.0, 1e-6)) << form;
    o.gate_threshold = -1e3;
    auto open = o;
    open.gate = false;
    EXPECT_TRUE(at::equal(sampled(o), sampled(open))) << form;
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
