// Flow-RWR against its formulas, on the small model.
#include <gtest/gtest.h>

#include "engine/losses/rwr.h"
#include "engine/optim/gradients.h"
#include "tests/io/scratch.h"
#include "tests/methods/noised.h"

namespace thalweg {
namespace {

const GroupPlan kPlan{3, 4, 1};

Json settings(Json more = Json::object()) {
  Json all = {{"prompts_per_iteration", 3},
              {"group_size", 4},
              {"updates", 1},
              {"times_per_sample", 1},
              {"beta", 0.05},
              {"noise_levels", {{"name", "logit_normal"}, {"mean", 0.5}, {"std", 0.7}}}};
  all.update(more);
  return all;
}

const NoiseLevels kLevels{.name = "logit_normal", .mean = 0.5, .deviation = 0.7};

TEST(FlowRwr, GradientIsThatOfTheWeightedMatching) {
  SmallTraining small(0.5);
  auto& t = small.training;
  const auto [batches, scores] = first_rollout(t, kPlan);
  const auto l = noised(t, batches, kLevels, slots_of(batches)).error(t, t.policy.parameters());
  const auto rwr = rwr_weights(scores.total.total_B, scores.total.valid_B, 0.05);
  auto expected = gradients_of((rwr.weight_B * l).mean(), t.policy.parameters());
  const auto metrics = method_named("flow_rwr", settings())->start(t)->iterate(0);
  EXPECT_NEAR(number(metrics, "grad_norm"), clip_gradients(expected, 1e9), 1e-12);
  EXPECT_NEAR(number(metrics, "policy_loss"), (rwr.weight_B * l).mean().item<double>(), 1e-12);
  EXPECT_NEAR(number(metrics, "matching_loss"), l.mean().item<double>(), 1e-12);
  EXPECT_NEAR(number(metrics, "ess"), rwr.ess, 1e-15);
  EXPECT_LT(rwr.ess, 0.95);
}

// Of the rollout, not of its updates: what an update weighs depends on how good its samples are.
TEST(FlowRwr, WeightsAreThoseOfTheRollout) {
  SmallTraining one(0.5), three(0.5);
  const auto a = method_named("flow_rwr", settings())->start(one.training)->iterate(0);
  const auto b = method_named("flow_rwr", settings({{"updates", 3}}))->start(three.training)->iterate(0);
  EXPECT_EQ(number(a, "ess"), number(b, "ess"));
  EXPECT_EQ(three.training.policy.steps(), 3);
}

TEST(FlowRwr, TheReferencePullsBack) {
  SmallTraining small(0.5);
  const auto run = method_named("flow_rwr", settings({{"kl_beta", 2.0}}))->start(small.training);
  EXPECT_EQ(number(run->iterate(0), "kl_loss"), 0.0);
  EXPECT_GT(number(run->iterate(1), "kl_loss"), 0.0);
}

TEST(FlowRwr, RefusesMoreLevelsThanTheScheduleHas) {
  const auto options = SmallTraining::default_options();  // 4 steps
  const auto check = [&](Json more) { method_named("flow_rwr", settings(std::move(more)))->check(options); };
  EXPECT_ERROR(check({{"times_per_sample", 5}, {"noise_levels", {{"name", "schedule"}}}}),
               "/method/times_per_sample");
  EXPECT_NO_THROW(check({{"times_per_sample", 4}, {"noise_levels", {{"name", "schedule"}}}}));
  EXPECT_NO_THROW(check({{"times_per_sample", 5}}));
  EXPECT_ERROR(check({{"noise_levels", {{"name", "schedule"}, {"mean", 0.0}}}}), "/method/noise_levels/mean");
  EXPECT_ERROR(check({{"beta", 0.0}}), "/method/beta");
}

TEST(NoiseLevels, OfTheScheduleAreAllThereOnce) {
  SmallTraining small;
  const auto levels = drawn_levels({.times = 4}, small.training, {7, 8, 9, 10, 11});
  for (int64_t b = 0; b < 5; ++b)
    EXPECT_TRUE(
        at::equal(std::get<0>(levels.select(1, b).sort()), at::tensor({0.25, 0.5, 0.75, 1.0}, at::kDouble)));
  EXPECT_FALSE(at::equal(levels.select(1, 0), levels.select(1, 1)) &&
               at::equal(levels.select(1, 1), levels.select(1, 2)) &&
               at::equal(levels.select(1, 2), levels.select(1, 3)));
}

TEST(NoiseLevels, LogitNormalHasItsMoments) {
  SmallTraining small;
  std::vector<int64_t> slots(4000);
  for (size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<int64_t>(i);
  const auto levels = drawn_levels({.name = "logit_normal", .mean = 0.5, .deviation = 2.0, .times = 2},
                                   small.training, slots);
  ASSERT_EQ(levels.sizes(), (at::IntArrayRef{2, 4000}));
  EXPECT_FALSE(at::equal(levels[0], levels[1]));
  const auto z = levels.logit();
  EXPECT_NEAR(z.mean().item<double>(), 0.5, 4.0 * 2.0 / std::sqrt(8000.0));
  EXPECT_NEAR(z.std().item<double>(), 2.0, 4.0 * 2.0 / std::sqrt(16000.0));
  // The slot decides.
  EXPECT_TRUE(at::equal(
      drawn_levels({.name = "logit_normal", .mean = 0.5, .deviation = 2.0, .times = 2}, small.training, {17}),
      levels.slice(1, 17, 18)));
}

}  // namespace
}  // namespace thalweg
