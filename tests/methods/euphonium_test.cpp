// Euphonium on the small model, whose guided rollouts and gradients are followed by hand.
#include <gtest/gtest.h>

#include "engine/losses/grpo.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/replay.h"
#include "pipelines/plan/draw_cost.h"
#include "pipelines/plan/method_count.h"
#include "tests/io/scratch.h"
#include "tests/methods/latent_reward.h"

namespace thalweg {
namespace {

constexpr double kScale = 2.0, kPush = 0.7;  // of the process reward, of guidance

Json keys(Json more = Json::object(), int64_t updates = 1) {
  Json all = {{"prompts_per_iteration", 3},
              {"group_size", 4},
              {"updates", updates},
              {"step_fraction", 1.0},
              {"guidance", {{"guidance_scale", kPush}, {"window", {{"begin", 0}}}}}};
  all.update(more, /*merge_objects=*/true);
  return all;
}

Json unguided(Json more = Json::object(), int64_t updates = 1) {
  auto all = keys({{"guidance", {{"guidance_scale", 0.0}}}, {"process", {{"weight", 0.0}}}}, updates);
  all.update(more, true);
  return all;
}

struct AtWork {
  AtWork(const std::string& name, Json settings, LatentFaults faults = {}, int64_t iterations = 1,
         TrainingOptions options = stochastic())
      : small(led_parts(kScale, std::move(faults)), std::move(options)) {
    const auto run = method_named(name, std::move(settings))->start(small.training);
    for (int64_t i = 0; i < iterations; ++i) metrics = run->iterate(i);
  }
  double of(const char* name) const { return small.training.policy.parameters().at(name).item<double>(); }

  SmallTraining small;
  Metrics metrics;
};

void expect_same(const AtWork& a, const AtWork& b) {
  for (const char* name : {"a", "b"}) EXPECT_EQ(a.of(name), b.of(name)) << name;
  ASSERT_EQ(a.metrics.size(), b.metrics.size());
  for (const auto& [name, value] : a.metrics) EXPECT_EQ(value, number(b.metrics, name)) << name;
}

TEST(Euphonium, WithoutGuidanceAndProcessIsFlowGrpoBitForBit) {
  auto flow = unguided({{"kl_beta", 0.1}}, 3);
  for (const char* own : {"step_fraction", "guidance", "process"}) flow.erase(own);
  const Json norm = {{"ddof", 0}, {"eps", 1e-4}};
  flow["std"] = norm;
  expect_same(AtWork("euphonium", unguided({{"kl_beta", 0.1}, {"std", norm}}, 3), {}, 3),
              AtWork(
                  "flow_grpo",
                  [&] {
                    flow["global_std"] = false;
                    return flow;
                  }(),
                  {}, 3));
}

TEST(Euphonium, WithoutGuidanceAndWithItsNoiseIsDanceGrpoBitForBit) {
  auto options = stochastic();
  options.sampler.kind = Chosen<SamplerKind>(sampler_table(), "dance_sde");
  options.sampler.window_size = 3;  // DanceGRPO leaves the last step to the ODE by itself
  const Json some = {{"step_fraction", 0.6}};
  auto dance = unguided(some, 2);
  for (const char* own : {"guidance", "process"}) dance.erase(own);
  expect_same(AtWork("euphonium", unguided(some, 2), {}, 3, options),
              AtWork("dance_grpo", dance, {}, 3, options));
}

// A guided rollout of iteration 0, by hand: states of 4 steps, their successors, the last one clean.
struct ByHand {
  std::vector<at::Tensor> x, next;  // [12,1,1,2,2] of each step
  std::vector<KernelStep> kernel;
};

ByHand rolled_out(const Training& t, double push) {
  ByHand hand;
  std::vector<int64_t> slots(12);
  for (int64_t i = 0; i < 12; ++i) slots[static_cast<size_t>(i)] = i;
  const auto kernel = kernel_of(t.options.sampler, {0, 4});
  auto x = normal_noise(t.seed(), Purpose::initial_noise, slots, 0, t.shape.sizes(), at::kDouble);
  for (int64_t i = 0; i < 4; ++i) {
    const auto step = step_of(kernel, t.schedule, i, slots);
    const auto mean = transition(x, 0.5 * x + 0.1, step.kernel).mean_BCFHW + 0.25 * push * kScale / 4.0;
    const auto next = mean + step.kernel.std * transition_noise(t.seed(), slots, x, step);
    hand.x.push_back(x);
    hand.next.push_back(next);
    hand.kernel.push_back(step.kernel);
    x = next;
  }
  return hand;
}

const std::vector<int64_t> kGroups = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2};
const GroupNorm kNorm = {.deviation = DeviationOver::group, .clip = 5.0, .ddof = 1, .eps = 1e-8};

at::Tensor advantages(const at::Tensor& value_B) {
  return group_advantages(value_B.to(at::kDouble), at::ones({12}, at::kBool), kGroups, kNorm).values_B;
}

// At the first update the ratio is 1: the gradient is that of -(w_o A_o + w_p A_p[step]) log p(next), p
// around the mean without guidance, though next was drawn around the one with it.
class FirstGradient : public ::testing::TestWithParam<std::pair<double, double>> {};

TEST_P(FirstGradient, IsThatOfBothRewardsUnderTheUnguidedMean) {
  const auto [outcome, process] = GetParam();
  SmallTraining small(led_parts(kScale), stochastic());
  auto& t = small.training;
  const auto hand = rolled_out(t, kPush);
  const auto bright_B = t.model->decode(hand.next[3]).flatten(1).mean(1);
  const auto outcome_B = advantages(bright_B + 0.5 * (1.0 - bright_B));
  at::Tensor loss = at::zeros({}, at::kDouble);
  for (size_t k = 0; k < 3; ++k) {
    const auto& p = t.policy.parameters();
    const auto there = transition(hand.x[k], p.at("a") * hand.x[k] + p.at("b"), hand.kernel[k]);
    const auto process_B = advantages((kScale * hand.x[k].flatten(1).mean(1)).to(at::kFloat));
    loss =
        loss -
        ((outcome * outcome_B + process * process_B) * log_prob(hand.next[k], there, gaussian)).sum() / 36.0;
  }
  auto expected = gradients_of(loss, t.policy.parameters());
  const auto found =
      method_named("euphonium",
                   keys({{"outcome", {{"weight", outcome}}}, {"process", {{"weight", process}}}}))
          ->start(t)
          ->iterate(0);
  EXPECT_NEAR(number(found, "grad_norm"), clip_gradients(expected, 1e9), 1e-6);
  EXPECT_GT(number(found, "grad_norm"), 0.01);
  EXPECT_NEAR(number(found, "ratio_dev_first_step"), 0.0, 1e-12);
}

INSTANTIATE_TEST_SUITE_P(Weights, FirstGradient,
                         ::testing::Values(std::pair{1.0, 1.0}, std::pair{1.0, 0.0}, std::pair{0.0, 1.0},
                                           std::pair{0.5, 2.0}));

TEST(Euphonium, ClipsEachOfTheTwoLossesByOneRatio) {
  const AtWork run("euphonium", keys({{"clip_range", 1e-9}}, 3));
  EXPECT_TRUE(std::isfinite(number(run.metrics, "process_loss")));
  EXPECT_NE(number(run.metrics, "process_loss"), number(run.metrics, "policy_loss"));
  EXPECT_GT(number(run.metrics, "clipfrac"), 0.0);
}

// The last step is never trained, so what is scored there alone teaches nothing.
TEST(Euphonium, AStepWithoutAProcessScoreHasAdvantageZero) {
  const Json late = {{"guidance", {{"window", {{"begin", 3}}}}}, {"outcome", {{"weight", 0.0}}}};
  const AtWork run("euphonium", keys(late));
  EXPECT_EQ(number(run.metrics, "guidance_reward_calls"), 12.0);
  EXPECT_EQ(number(run.metrics, "process_loss"), 0.0);
  EXPECT_EQ(number(run.metrics, "grad_norm"), 0.0);
}

TEST(Euphonium, WindowsSayWhereEachRewardCounts) {
  const auto norm_of = [](Json more) {
    return number(AtWork("euphonium", keys(std::move(more))).metrics, "grad_norm");
  };
  const Json last = {{"begin", 3}};
  EXPECT_EQ(norm_of({{"outcome", {{"window", last}}}, {"process", {{"window", last}}}}), 0.0);
  EXPECT_NEAR(norm_of({{"process", {{"window", last}}}}), norm_of({{"process", {{"weight", 0.0}}}}), 1e-12);
  EXPECT_NEAR(norm_of({{"outcome", {{"window", last}}}}), norm_of({{"outcome", {{"weight", 0.0}}}}), 1e-12);
}

TEST(Euphonium, GradientsThatFailAreCountedAndSaid) {
  AtWork run("euphonium", keys(), {.without_gradient = {1, 6}});
  EXPECT_EQ(number(run.metrics, "guidance_reward_gradients"), 48.0);
  EXPECT_EQ(number(run.metrics, "guidance_failed_gradients"), 8.0);
  EXPECT_EQ(number(run.metrics, "masked_samples"), 0.0);  // they are samples like others, not guided
  EXPECT_NEAR(number(run.metrics, "ratio_dev_first_step"), 0.0, 1e-12);
  const auto events = run.small.training.events.take();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].level, "warn");
  EXPECT_EQ(events[0].type, "reward_failed");
  EXPECT_EQ(events[0].data.at("failed_gradients"), 8);
  EXPECT_NE(events[0].message.find("8 of 48 gradients"), std::string::npos) << events[0].message;
}

TEST(Euphonium, NoGradientAtAllIsAnErrorsEvent) {
  AtWork run("euphonium", keys(), {.without_gradient = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}});
  const auto events = run.small.training.events.take();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].level, "error");
}

// In whatever sample: the numbers are those of the others.
TEST(Euphonium, AProcessScoreThatIsMissingEntersNoStatistic) {
  const AtWork run("euphonium", keys({{"outcome", {{"weight", 0.0}}}}), {.unscored = {5}});
  EXPECT_EQ(number(run.metrics, "guidance_rewards_not_scored"), 4.0);
  EXPECT_TRUE(std::isfinite(number(run.metrics, "process_reward")));
  EXPECT_TRUE(std::isfinite(number(run.metrics, "process_loss")));
  EXPECT_GT(number(run.metrics, "grad_norm"), 0.0);
}

TEST(Euphonium, PlansTheRewardsThatLeadIt) {
  const auto method = method_named("euphonium", keys());
  const auto options = stochastic();
  const auto schedule = [](int64_t steps) { return linear_schedule(steps); };
  const auto count = count_method(*method, options, 0, schedule);
  EXPECT_EQ(count.forwards_of_rollout, 4.0);
  EXPECT_EQ(count.forwards_with_gradient, 3.0);
  EXPECT_TRUE(count.decoded);
  const auto cost = draw_cost({options.sampler, method->steering(), linear_schedule(4), {0, 4}}, 12, 4);
  EXPECT_EQ(cost.network_evaluations, count.forwards_of_rollout);
  EXPECT_EQ(cost.reward_gradients, 4.0);
  EXPECT_TRUE(method_named("euphonium", unguided())->steering().empty());
}

TEST(Euphonium, RefusesWhatWouldDoNothing) {
  const auto check = [](Json more) { method_named("euphonium", keys(std::move(more)))->check(stochastic()); };
  EXPECT_NO_THROW(check(Json::object()));
  EXPECT_ERROR(check({{"guidance", {{"guidance_scale", 0.0}}}}), "/method/process/weight");
  EXPECT_ERROR(check({{"process", {{"weight", 0.0}}}, {"outcome", {{"weight", 0.0}}}}),
               "/method/outcome/weight");
  EXPECT_ERROR(check({{"kl_beta", 0.1}, {"kl_in", "reward"}}), "/method/kl_in");
  EXPECT_NO_THROW(
      method_named("euphonium", unguided({{"kl_beta", 0.1}, {"kl_in", "reward"}}))->check(stochastic()));
  EXPECT_ERROR(check({{"process", {{"window", {{"begin", 4}}}}}}), "/method/process/window/begin");
  EXPECT_ERROR(check({{"outcome", {{"window", {{"begin", 2}, {"size", 3}}}}}}),
               "/method/outcome/window/size");
}

TEST(Euphonium, NeedsAGradientUnlessItProbes) {
  SmallTraining small;
  EXPECT_ERROR(method_named("euphonium", keys())->start(small.training), "/method/guidance/gradient");
  EXPECT_NO_THROW(
      method_named("euphonium", keys({{"guidance", {{"gradient", "spsa"}}}}))->start(small.training));
}

TEST(Euphonium, RefusesAWindowOfGuidanceOutsideOfTheSteps) {
  const auto method = method_named("euphonium", keys({{"guidance", {{"window", {{"begin", 9}}}}}}));
  RewardSpec spec;
  spec.plugin = "small";
  EXPECT_ERROR(check_steering(method->steering(), stochastic().sampler, {spec}),
               "/method/guidance/window/begin");
}

}  // namespace
}  // namespace thalweg
