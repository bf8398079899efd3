// Guidance distilled into the small model: what it is trained to, and at which states.
#include <gtest/gtest.h>

#include "engine/optim/gradients.h"
#include "pipelines/plan/draw_cost.h"
#include "pipelines/plan/method_count.h"
#include "tests/io/scratch.h"
#include "tests/methods/latent_reward.h"
#include "tests/methods/several_rewards.h"

namespace thalweg {
namespace {

constexpr double kScale = 2.0;  // of the reward: its gradient is kScale / 4 in each of the four elements

// The exact coefficient: delta v = -(t/(1-t)) lambda g.
double delta_v(double t, double lambda) {
  return -t / (1.0 - t) * lambda * kScale / 4.0;
}

Json keys(Json steering, Json more = Json::object()) {
  Json all = {
      {"prompts_per_iteration", 12}, {"updates", 1}, {"steering", Json::array({std::move(steering)})}};
  all.update(more);
  return all;
}

Json nrg(double lambda = 1.5, int64_t begin = 1, int64_t size = 0) {
  return {{"name", "flow_nrg"}, {"lambda", lambda}, {"window", {{"begin", begin}, {"size", size}}}};
}

TrainingOptions by_ode(double rate = 0.01) {
  auto o = stochastic();
  o.sampler.kind = Chosen<SamplerKind>(sampler_table(), "flow_ode");
  o.optimizer.learning_rate = rate;
  return o;
}

struct AtWork {
  explicit AtWork(Json settings, LatentFaults faults = {}, int64_t iterations = 1,
                  TrainingOptions options = by_ode(), RewardUse use = RewardUse::process)
      : small(led_parts(kScale, std::move(faults), use), std::move(options)) {
    const auto run = method_named("guidance_to_policy", std::move(settings))->start(small.training);
    for (int64_t i = 0; i < iterations; ++i) metrics = run->iterate(i);
  }
  double of(const char* name) const { return small.training.policy.parameters().at(name).item<double>(); }

  SmallTraining small;
  Metrics metrics;
};

// Levels .75, .5 and .25; at the start the policy is v_old, and all that is left to learn is delta v.
TEST(GuidanceToPolicy, FirstLossIsTheSquareOfWhatGuidanceAdds) {
  const AtWork run(keys(nrg()));
  double expected = 0.0;
  for (const double t : {0.75, 0.5, 0.25}) expected += delta_v(t, 1.5) * delta_v(t, 1.5) / 3.0;
  EXPECT_NEAR(number(run.metrics, "policy_loss"), expected, 1e-12);
  EXPECT_NEAR(number(run.metrics, "guidance_size"), expected, 1e-12);
  EXPECT_NEAR(number(run.metrics, "distilled"), 0.0, 1e-12);
  EXPECT_EQ(number(run.metrics, "guidance_reward_gradients"), 36.0);
  EXPECT_EQ(number(run.metrics, "guidance_failed_gradients"), 0.0);
  EXPECT_EQ(number(run.metrics, "masked_samples"), 0.0);
}

// The gradient of mean (a x + b - (0.5 x + 0.1 + delta v))^2 at the states of the guided ODE, by hand.
TEST(GuidanceToPolicy, FirstGradientIsThatOfTheRegressionAtGuidedStates) {
  SmallTraining small(led_parts(kScale), by_ode());
  auto& t = small.training;
  std::vector<int64_t> slots(12);
  for (int64_t i = 0; i < 12; ++i) slots[static_cast<size_t>(i)] = i;
  auto x = normal_noise(t.seed(), Purpose::initial_noise, slots, 0, t.shape.sizes(), at::kDouble);
  at::Tensor loss = at::zeros({}, at::kDouble);
  for (const double level : {1.0, 0.75, 0.5, 0.25}) {
    const double added = level == 1.0 ? 0.0 : delta_v(level, 1.5);
    const auto target = 0.5 * x + 0.1 + added;
    const auto v = t.policy.parameters().at("a") * x + t.policy.parameters().at("b");
    if (level < 1.0) loss = loss + (v - target).square().mean() / 3.0;
    x = x - 0.25 * target;
  }
  auto expected = gradients_of(loss, t.policy.parameters());
  const auto found = method_named("guidance_to_policy", keys(nrg()))->start(t)->iterate(0);
  EXPECT_NEAR(number(found, "grad_norm"), clip_gradients(expected, 1e9), 1e-12);
}

// At one level delta v is a constant, which b can be.
TEST(GuidanceToPolicy, ThePolicyComesToDoWhatGuidanceDid) {
  const AtWork run(keys(nrg(1.5, 2, 1), {{"passes", 20}}), {}, 30, by_ode(0.02));
  EXPECT_NEAR(run.of("a"), 0.5, 0.01);
  EXPECT_NEAR(run.of("b"), 0.1 + delta_v(0.5, 1.5), 0.01);
  EXPECT_GT(number(run.metrics, "distilled"), 0.999);
}

// v_old is the reference, not the policy: what was learnt is not added again.
TEST(GuidanceToPolicy, WhatIsLearntIsNotLedOnceMore) {
  const AtWork once(keys(nrg(1.5, 2, 1), {{"passes", 20}}), {}, 30, by_ode(0.02)),
      longer(keys(nrg(1.5, 2, 1), {{"passes", 20}}), {}, 60, by_ode(0.02));
  EXPECT_NEAR(longer.of("b"), once.of("b"), 0.01);
  EXPECT_EQ(number(once.metrics, "guidance_size"), number(longer.metrics, "guidance_size"));
}

class ByEachGuidance : public ::testing::TestWithParam<const char*> {};

TEST_P(ByEachGuidance, Learns) {
  Json steering = {{"name", GetParam()}, {"window", {{"begin", 1}}}};
  if (steering["name"] == "euphonium") steering["guidance_scale"] = 0.5;
  if (steering["name"] == "doob") steering.update({{"form", "vjp"}, {"candidates", 4}});
  const bool noisy = steering["name"] == "flow_nrg" || steering["name"] == "euphonium";
  const auto use = noisy ? RewardUse::process : RewardUse::guide;
  const AtWork run(keys(steering), {}, 3, stochastic(), use);
  EXPECT_GT(number(run.metrics, "guidance_size"), 1e-4);
  EXPECT_GT(number(run.metrics, "distilled"), 0.0);
  EXPECT_LT(number(run.metrics, "distilled"), 1.0);
  EXPECT_LT(run.of("b"), 0.1);  // a larger mean is a smaller velocity
}

INSTANTIATE_TEST_SUITE_P(Steering, ByEachGuidance,
                         ::testing::Values("flow_nrg", "dps", "mpgd", "spsa", "euphonium", "doob"));

// Wherever its gradient is lost a sample would be told that guidance adds nothing.
TEST(GuidanceToPolicy, ASampleWhoseGradientIsLostIsNotTrained) {
  for (const auto& faults : {LatentFaults{.without_gradient = {5}}, LatentFaults{.unscored = {5}}}) {
    AtWork run(keys(nrg()), faults);
    const AtWork whole(keys(nrg()));
    EXPECT_EQ(number(run.metrics, "masked_samples"), 1.0);
    EXPECT_EQ(number(run.metrics, "guidance_failed_gradients"), 3.0);
    EXPECT_NEAR(number(run.metrics, "guidance_size"), number(whole.metrics, "guidance_size"), 1e-12);
    EXPECT_NEAR(number(run.metrics, "policy_loss"), number(whole.metrics, "policy_loss"), 1e-12);
    EXPECT_NE(number(run.metrics, "grad_norm"), number(whole.metrics, "grad_norm"));
    const auto events = run.small.training.events.take();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].type, "reward_failed");
  }
}

TEST(GuidanceToPolicy, WithoutAnyGradientTheRunEnds) {
  LatentFaults all;
  for (uint64_t slot = 0; slot < 12; ++slot) all.without_gradient.insert(slot);
  EXPECT_ERROR(AtWork(keys(nrg()), all), "/rewards");
}

TEST(GuidanceToPolicy, AWindowBeyondAllStepsIsAnError) {
  auto late = nrg();
  late["max_sigma"] = 0.1;
  EXPECT_ERROR(AtWork(keys(late)), "/method/steering");
}

TEST(GuidanceToPolicy, IsPlannedByItsSteering) {
  const auto method = method_named("guidance_to_policy", keys({{"name", "dps"}}));
  const auto options = by_ode();
  const auto count = count_method(*method, options, 0, [](int64_t steps) { return linear_schedule(steps); });
  const auto cost = draw_cost({options.sampler, method->steering(), linear_schedule(4), {0, 4}}, 12, 4);
  EXPECT_EQ(count.forwards_of_rollout, 5.0);  // two in the first step
  EXPECT_EQ(cost.network_evaluations, 5.0);
  EXPECT_EQ(cost.network_gradients, 4.0);
  EXPECT_EQ(cost.reward_gradients, 4.0);
  EXPECT_EQ(count.forwards_with_gradient, 4.0);
  EXPECT_EQ(count.forwards_without, 0.0);
  EXPECT_FALSE(count.decoded);
  EXPECT_EQ(count.stored_latents, 1.0 + 2.0 * 4.0);
}

TEST(GuidanceToPolicy, RefusesWhatNoVelocityCanDo) {
  const auto check = [](const Json& steering) {
    method_named("guidance_to_policy", {{"steering", steering}})->check(stochastic());
  };
  EXPECT_NO_THROW(check({{{"name", "dps"}}}));
  EXPECT_NO_THROW(check({{{"name", "doob"}, {"form", "vjp"}}}));
  EXPECT_ERROR(check(Json::array()), "/method/steering");
  EXPECT_ERROR(check({{{"name", "dps"}, {"lambda", 0.0}}}), "/method/steering");
  EXPECT_ERROR(check({{{"name", "fk"}}}), "/method/steering/0/name");
  EXPECT_ERROR(check({{{"name", "doob"}}}), "/method/steering/0/name");
  EXPECT_ERROR(check({{{"name", "doob"}, {"form", "vjp"}, {"keep_best", true}}}), "/method/steering/0/name");
  EXPECT_ERROR(check({{{"name", "dps"}}, {{"name", "doob"}, {"form", "vjp"}}}), "/method/steering/1/name");
}

TEST(GuidanceToPolicy, NeedsTheGradientOfWhatItFollows) {
  TwoRewardTraining small(stochastic(), [](uint64_t, int64_t) { return false; });  // it has none
  EXPECT_ERROR(method_named("guidance_to_policy", keys({{"name", "mpgd"}}))->start(small.training),
               "/method/steering/0/name");
}

}  // namespace
}  // namespace thalweg
