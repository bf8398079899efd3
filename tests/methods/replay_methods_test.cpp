// What each method of the transition loop adds to it, on the small model.
#include <gtest/gtest.h>

#include <set>

#include "engine/optim/gradients.h"
#include "pipelines/methods/replay_method.h"
#include "pipelines/plan/method_count.h"
#include "tests/io/scratch.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

Json settings(int64_t updates, Json more = Json::object()) {
  Json all = {{"prompts_per_iteration", 3}, {"group_size", 4}, {"updates", updates}};
  all.update(more);
  return all;
}

// The policy and the last metrics after some iterations.
struct Trained {
  Trained(const std::string& name, Json keys, TrainingOptions options, int64_t iterations = 1)
      : small(
            0.5, [](uint64_t) { return false; }, std::move(options)) {
    const auto run = method_named(name, std::move(keys))->start(small.training);
    for (int64_t i = 0; i < iterations; ++i) metrics = run->iterate(i);
  }
  double of(const char* name) const { return small.training.policy.parameters().at(name).item<double>(); }

  SmallTraining small;
  Metrics metrics;
};

TrainingOptions windowed_steps(int64_t size) {
  auto o = stochastic();
  o.sampler.window_size = size;
  return o;
}

void check(const std::string& name, const TrainingOptions& options) {
  method_named(name, settings(1))->check(options);
}

MethodCount count_of(const std::string& name, Json keys, const TrainingOptions& options) {
  return count_method(*method_named(name, std::move(keys)), options, 0,
                      [](int64_t steps) { return linear_schedule(steps); });
}

// On the policy's own side, by hand: -A mean(e mu) / dt, e the noise that was drawn.
TEST(GrpoGuard, FirstGradientIsTheNoiseTimesTheAdvantage) {
  SmallTraining small(
      0.5, [](uint64_t) { return false; }, stochastic());
  auto& t = small.training;
  Metrics metrics;
  const auto drawn = draw_transitions(t, 0, {3, 4, 1}, {0, 4}, {0, 1, 2}, metrics);
  const auto advantage_B = advantages_of(drawn.scores.total, drawn.scores.group_B, {}, metrics).values_B;
  at::Tensor loss = at::zeros({}, at::kDouble);
  int64_t row = 0;
  for (const auto& batch : drawn.batches) {
    for (size_t i = 0; i < 3; ++i) {
      const auto kernel = drawn.kernel(t.schedule, batch.trajectory.trained_steps[i]);
      const auto x = batch.trajectory.latents[i];
      const auto mean =
          transition(x, t.policy.parameters().at("a") * x + t.policy.parameters().at("b"), kernel).mean_BCFHW;
      const auto e = (batch.trajectory.next_latents[i] - mean.detach()) / kernel.std;
      loss = loss - (advantage_B.slice(0, row, row + 4) * (e * mean).flatten(1).mean(1)).sum() / 0.25 / 36.0;
    }
    row += 4;
  }
  auto expected = gradients_of(loss, t.policy.parameters());
  const auto found = method_named("grpo_guard", settings(1))->start(t)->iterate(0);
  EXPECT_NEAR(number(found, "grad_norm"), clip_gradients(expected, 1e9), 1e-9);
  EXPECT_NEAR(number(found, "approx_kl"), 0.0, 1e-20);
  EXPECT_EQ(number(found, "clipfrac"), 0.0);
}

TEST(GrpoGuard, NeedsTheGaussiansLogProb) {
  auto options = stochastic();
  EXPECT_NO_THROW(check("grpo_guard", options));
  const auto cps = [&](const char* form) {
    options.sampler.kind = Chosen<SamplerKind>(sampler_table(), "cps");
    read_fields({{"log_prob", form}}, "/sampler",
                [&](Fields& f) { options.sampler.kind->describe(f, [](Fields&) {}); });
    check("grpo_guard", options);
  };
  EXPECT_ERROR(cps("squared_error"), "/sampler/log_prob");
  EXPECT_NO_THROW(cps("gaussian"));
}

// Where no term is dropped the loss is Flow-GRPO's without its clip.
TEST(FlowDppo, WithoutABoundIsFlowGrpoWithoutAClip) {
  const Trained dppo("flow_dppo", settings(3, {{"divergence_threshold", 1e3}}), stochastic(), 2);
  const Trained grpo("flow_grpo", settings(3, {{"anchor", "recomputed"}, {"clip_range", 10.0}}), stochastic(),
                     2);
  EXPECT_EQ(number(dppo.metrics, "beyond_threshold"), 0.0);
  EXPECT_GT(number(dppo.metrics, "divergence"), 0.0);
  for (const char* name : {"a", "b"}) EXPECT_NEAR(dppo.of(name), grpo.of(name), 1e-12);
}

// At the bound 0 every step is beyond it. The first update is not changed by that, since its ratios are 1;
// later ones lose the terms that would go on.
TEST(FlowDppo, WithTheBoundAtZeroOnlyGoesBack) {
  const Json none = {{"divergence_threshold", 1e3}}, all = {{"divergence_threshold", 0.0}};
  const Trained free("flow_dppo", settings(1, none), stochastic()),
      bound("flow_dppo", settings(1, all), stochastic());
  EXPECT_EQ(number(bound.metrics, "beyond_threshold"), 1.0);
  EXPECT_EQ(bound.of("b"), free.of("b"));
  const Trained further("flow_dppo", settings(3, none), stochastic()),
      held("flow_dppo", settings(3, all), stochastic());
  EXPECT_LT(std::fabs(held.of("b") - 0.1), std::fabs(further.of("b") - 0.1));
}

TEST(DanceGrpo, ScoresTheCleanEstimateWhateverTheWindow) {
  const Trained to_the_end("dance_grpo", settings(2), windowed_steps(0), 2),
      before("dance_grpo", settings(2), windowed_steps(3), 2);
  for (const char* name : {"a", "b"}) EXPECT_EQ(to_the_end.of(name), before.of(name));
  EXPECT_EQ(number(to_the_end.metrics, "reward"), number(before.metrics, "reward"));
  // As Flow-GRPO is told to by the window's size alone.
  const Trained noisy("flow_grpo", settings(2), windowed_steps(0)),
      clean("flow_grpo", settings(2), windowed_steps(3));
  EXPECT_NE(number(noisy.metrics, "reward"), number(clean.metrics, "reward"));
}

TEST(DanceGrpo, TrainsAPartOfTheSteps) {
  auto options = stochastic();
  options.sampler.steps = 11;
  const auto count = count_of("dance_grpo", settings(2), options);
  EXPECT_EQ(count.forwards_with_gradient, 6.0);  // of 10
  EXPECT_EQ(count.stored_latents, 1.0 + 2.0 * 6.0);
  EXPECT_EQ(count_of("dance_grpo", settings(2, {{"step_fraction", 0.01}}), options).forwards_with_gradient,
            1.0);
}

TEST(DanceGrpo, NormalisesByTheGroupsOwnUnbiasedDeviation) {
  const auto written = write_fields([](Fields& f) { method_named("dance_grpo")->describe(f); });
  EXPECT_EQ(written.at("global_std"), false);
  EXPECT_EQ(written.at("std").at("ddof"), 1);
  EXPECT_EQ(written.at("std").at("eps"), 1e-8);
  EXPECT_EQ(written.at("kl_beta"), 0.0);
}

TEST(SomeSteps, AreDrawnForEachIteration) {
  const std::vector<int64_t> all = {2, 3, 4, 5, 6};
  std::vector<int64_t> times(7);
  std::set<std::vector<int64_t>> drawn;
  constexpr int64_t kIterations = 1000;
  for (int64_t i = 0; i < kIterations; ++i) {
    const auto some = some_steps(all, 0.6, 7, i);
    ASSERT_EQ(some.size(), 3u);
    ASSERT_TRUE(std::is_sorted(some.begin(), some.end()));
    drawn.insert(some);
    for (const auto step : some) ++times[static_cast<size_t>(step)];
  }
  EXPECT_EQ(drawn.size(), 10u);  // 5 over 3
  EXPECT_EQ(times[0] + times[1], 0);
  for (const auto step : all)  // 600 +- 4 deviations of 15.5
    EXPECT_NEAR(static_cast<double>(times[static_cast<size_t>(step)]), 600.0, 62.0) << step;
  EXPECT_EQ(some_steps(all, 0.6, 7, 3), some_steps(all, 0.6, 7, 3));
}

TEST(SomeSteps, AreAllAtOneAndOneAtLeast) {
  const std::vector<int64_t> all = {0, 1, 2};
  EXPECT_EQ(some_steps(all, 1.0, 7, 0), all);
  EXPECT_EQ(some_steps(all, 0.01, 7, 0).size(), 1u);
  std::vector<int64_t> fifteen(15);
  EXPECT_EQ(some_steps(fifteen, 0.6, 7, 0).size(), 9u);
}

class OfAWindow : public ::testing::TestWithParam<const char*> {};

TEST_P(OfAWindow, LeavesSomeStepsToTheOde) {
  auto options = windowed_steps(2);
  EXPECT_NO_THROW(check(GetParam(), options));
  for (const int64_t size : {0, 3, 4})
    EXPECT_ERROR(check(GetParam(), windowed_steps(size)), "/sampler/window/size");
  EXPECT_EQ(count_of(GetParam(), settings(2), options).forwards_with_gradient, 2.0);
}

INSTANTIATE_TEST_SUITE_P(Methods, OfAWindow, ::testing::Values("flow_grpo_fast", "mix_grpo"));

TEST(MixGrpo, SumsTheAdvantagesOfItsRewards) {
  const auto written = write_fields([](Fields& f) { method_named("mix_grpo")->describe(f); });
  EXPECT_EQ(written.at("aggregation").at("name"), "advantage_sum");
  EXPECT_EQ(written.at("aggregation").at("trimmed_ratio"), 0.0);
  // bright and 0.5 dark say the opposite of each other; each for itself they have the same spread, and their
  // sum is half of bright's.
  const Trained sum("mix_grpo", settings(1), windowed_steps(2));
  EXPECT_TRUE(std::isfinite(number(sum.metrics, "policy_loss")));
  EXPECT_GT(number(sum.metrics, "grad_norm"), 0.0);
}

SamplerSection moving(const char* policy, int64_t until) {
  SamplerSection s;
  s.steps = 10;
  s.window_size = 3;
  s.window_policy = policy;
  s.window_until = until;
  s.window_iterations = 1;
  return s;
}

TEST(WindowUntil, BoundsWhereAWindowLies) {
  std::set<int64_t> begins;
  for (int64_t i = 0; i < 60; ++i) {
    const auto window = step_window(moving("random", 5), 3, i);
    EXPECT_EQ(window.end - window.begin, 3);
    begins.insert(window.begin);
  }
  EXPECT_EQ(begins, (std::set<int64_t>{0, 1, 2}));
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(step_window(moving("progressive", 5), 3, i).begin, i % 3);
  EXPECT_EQ(step_window(moving("progressive", 0), 3, 7).begin, 7);
}

TEST(WindowUntil, HoldsAWholeWindow) {
  EXPECT_NO_THROW(check_sampler(moving("random", 3)));
  EXPECT_NO_THROW(check_sampler(moving("random", 10)));
  EXPECT_ERROR(check_sampler(moving("random", 2)), "/sampler/window/until");
  EXPECT_ERROR(check_sampler(moving("random", 11)), "/sampler/window/until");
}

// One step may be trained where the window cannot come to the last one.
TEST(WindowUntil, LetsAWindowOfOneStepMove) {
  auto options = windowed_steps(1);
  options.sampler.window_policy = "random";
  EXPECT_ERROR(check("flow_grpo", options), "/sampler/window/size");
  options.sampler.window_until = 3;
  EXPECT_NO_THROW(check("flow_grpo", options));
}

}  // namespace
}  // namespace thalweg
