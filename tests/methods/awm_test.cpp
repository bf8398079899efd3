// AWM against its formulas, on the small model.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "engine/core/rng.h"
#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "pipelines/training/aggregation.h"
#include "samplers/kernels/ode.h"
#include "tests/io/scratch.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

// Two steps, of which the second (sigma 1/2) is trained: one noising a sample, known to the test.
Json settings(Json more = Json::object()) {
  Json all = {{"prompts_per_iteration", 3},
              {"group_size", 4},
              {"updates", 1},
              {"times_per_sample", 1},
              {"first_step", 1},
              {"last_share", 1.0},
              {"kl_beta", 0.0},
              {"ema_kl_beta", 0.0}};
  all.update(more);
  return all;
}

TrainingOptions two_steps() {
  auto o = SmallTraining::default_options();
  o.sampler.steps = 2;
  o.optimizer.learning_rate = 0.05;
  return o;
}

struct Sample {
  at::Tensor x0, x_t, target, advantage_B;  // advantages in [-1, 1]
};

// What the first iteration of `small` draws and trains on.
Sample first_sample(Training& t) {
  Metrics metrics;
  const GroupPlan plan{3, 4, 1};
  const auto batches = draw_groups(t, 0, plan, t.policy.velocity(),
                                   [](const SamplerInput& in) { return sample_transitions(in, ode()); });
  const auto scores = score(t, batches, metrics);
  const auto advantages = advantages_of(scores.total, scores.group_B, {}, metrics);
  std::vector<at::Tensor> x0;
  std::vector<int64_t> slots;
  for (const auto& batch : batches) {
    x0.push_back(batch.trajectory.x0_BCFHW);
    for (const auto slot : batch.slot_B()) slots.push_back(slot);
  }
  Sample s;
  s.x0 = at::cat(x0);
  const auto noise = normal_noise(t.seed(), Purpose::training_noise, slots, 0, {1, 1, 2, 2}, at::kDouble);
  s.x_t = 0.5 * s.x0 + 0.5 * noise;
  s.target = noise - s.x0;
  s.advantage_B = advantages.values_B / 5.0;
  return s;
}

at::Tensor matching_error(const Training& t, const Sample& s, const TensorMap& parameters) {
  return (t.space.bind(parameters)(s.x_t, {}, {}) - s.target).square().flatten(1).mean(1);
}

class AwmWeighting : public ::testing::TestWithParam<const char*> {};

// The gradient is that of -A log p, log p as the paper writes each weighting at t = 1/2.
TEST_P(AwmWeighting, GradientIsTheAdvantageWeightedMatching) {
  const std::string weighting = GetParam();
  SmallTraining small(
      0.5, [](uint64_t) { return false; }, two_steps());
  auto& t = small.training;
  const auto sample = first_sample(t);
  const auto l = matching_error(t, sample, t.policy.parameters());
  at::Tensor log_p = -l;
  if (weighting == "t") log_p = -0.5 * l;
  if (weighting == "t2") log_p = -0.25 * l;
  if (weighting == "huber") log_p = -0.5 * (l + 1e-10).sqrt();
  if (weighting == "ghuber") log_p = -(0.5 / 0.25) * (l + 1e-10).pow(0.25);
  auto expected = gradients_of(-(sample.advantage_B * log_p).mean(), t.policy.parameters());
  const auto run = method_named("awm", settings({{"weighting", {{"name", weighting}}}}))->start(t);
  const auto metrics = run->iterate(0);
  EXPECT_NEAR(number(metrics, "grad_norm"), clip_gradients(expected, 1e9), 1e-12);
  EXPECT_NEAR(number(metrics, "matching_loss"), l.mean().item<double>(), 1e-12);
  // On the policy's own side the ratio is 1, whatever the weighting.
  EXPECT_NEAR(number(metrics, "ratio"), 1.0, 1e-14);
  EXPECT_EQ(number(metrics, "approx_kl"), 0.0);
  EXPECT_EQ(number(metrics, "clipfrac"), 0.0);
}

INSTANTIATE_TEST_SUITE_P(All, AwmWeighting, ::testing::Values("uniform", "t", "t2", "huber", "ghuber"));

TEST(Awm, GoodSamplesAreMatchedBetterThanBadOnes) {
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, two_steps());
  auto& t = small.training;
  const auto sample = first_sample(t);
  const auto before = matching_error(t, sample, t.policy.parameters()).detach();
  method_named("awm", settings())->start(t)->iterate(0);
  const auto change = matching_error(t, sample, t.policy.parameters()).detach() - before;
  EXPECT_LT((change * sample.advantage_B).sum().item<double>(), 0.0);
}

TEST(Awm, StaysNearItsAverage) {
  SmallTraining small(
      0.5, [](uint64_t) { return false; }, two_steps());
  auto& t = small.training;
  const auto run =
      method_named("awm", settings({{"ema_kl_beta", 1.0}, {"ema", {{"rate", 0.25}, {"maximum", 1.0}}}}))
          ->start(t);
  EXPECT_EQ(number(run->iterate(0), "ema_kl_loss"), 0.0);  // the average is the policy yet
  const auto& ema = *t.roles.all().at(1);
  const double a = t.policy.parameters().at("a").item<double>();
  EXPECT_NEAR(ema.parameters().at("a").item<double>(), 0.25 * 0.5 + 0.75 * a, 1e-12);
  const auto second = run->iterate(1);
  EXPECT_GT(number(second, "ema_kl_loss"), 0.0);
  EXPECT_EQ(number(second, "ema_kl_decay"), 0.5);
}

// With the gradient of the policy term gone (all rewards alike), what is left draws the policy to its
// average.
TEST(Awm, TheAveragePullsBack) {
  SmallTraining small(
      1.0, [](uint64_t) { return false; }, two_steps());  // bright + dark is 1
  auto& t = small.training;
  const auto run = method_named("awm", settings({{"ema_kl_beta", 1.0}}))->start(t);
  EXPECT_LT(number(run->iterate(0), "grad_norm"), 1e-3);
  for (int64_t i = 0; i < 5; ++i)  // a push from outside
    t.policy.step({{"b", at::full({1}, 1.0, at::kDouble)}}, t.policy.rate_at(0, 10));
  const auto distance = [&] {
    return std::fabs(t.policy.parameters().at("b").item<double>() -
                     t.roles.all().at(1)->parameters().at("b").item<double>());
  };
  EXPECT_GT(distance(), 0.01);
  EXPECT_GT(number(run->iterate(1), "grad_norm"), 1e-2);
}

TEST(Awm, OffPolicyRatiosAreThoseToTheAverage) {
  SmallTraining small(
      0.5, [](uint64_t) { return false; }, two_steps());
  auto& t = small.training;
  const auto run = method_named("awm", settings({{"log_prob_old", "ema"},
                                                 {"clip_range", 1e-6},
                                                 {"ema", {{"rate", 1.0}, {"maximum", 1.0}}}}))
                       ->start(t);
  const auto first = run->iterate(0);
  EXPECT_NEAR(number(first, "ratio"), 1.0, 1e-12);
  EXPECT_EQ(number(first, "clipfrac"), 0.0);
  const auto second = run->iterate(1);  // the average stands still at decay 1
  EXPECT_EQ(t.roles.all().at(1)->parameters().at("a").item<double>(), 0.5);
  EXPECT_GT(number(second, "approx_kl"), 0.0);
  EXPECT_GT(number(second, "clipfrac"), 0.5);
}

// One noise level in each equal part of steps [1, 18) of 20, whichever sample; pure noise and the end are
// left out.
TEST(Awm, NoiseLevelsAreStratified) {
  auto options = SmallTraining::default_options();
  options.sampler.steps = 20;
  SmallTraining small(
      0.5, [](uint64_t) { return false; }, options);
  auto& t = small.training;
  const auto& model = dynamic_cast<const SmallModel&>(*t.model);
  auto given = settings();
  for (const char* key : {"times_per_sample", "first_step", "last_share"}) given.erase(key);
  method_named("awm", given)->start(t)->iterate(0);
  ASSERT_EQ(model.trained_sigmas.size(), 3u * 6u);  // micro-batches of 4, six times each
  std::set<double> all;
  for (size_t call = 0; call < model.trained_sigmas.size(); ++call)
    for (const double sigma : model.trained_sigmas[call]) {
      const auto& s = t.schedule.sigmas;
      const auto index = std::find(s.begin(), s.end(), sigma) - s.begin();
      const double width = 17.0 / 6.0, stratum = static_cast<double>(call % 6);
      EXPECT_GE(index, 1 + static_cast<int64_t>(stratum * width));
      EXPECT_LE(index, std::min<int64_t>(1 + static_cast<int64_t>((stratum + 1.0) * width), 17));
      all.insert(sigma);
    }
  EXPECT_GT(all.size(), 10u);  // samples differ
}

TEST(Awm, NeedsAStepToTrain) {
  auto options = SmallTraining::default_options();
  options.sampler.steps = 20;
  const auto count = [&](Json more) {
    return method_named("awm", settings(std::move(more)))->check(options);
  };
  EXPECT_NO_THROW(count({{"first_step", 17}, {"last_share", 0.9}}));
  EXPECT_ERROR(count({{"first_step", 18}, {"last_share", 0.9}}), "/method/first_step");
  EXPECT_ERROR(count({{"last_share", 0.01}, {"first_step", 0}}), "/method/first_step");
}

}  // namespace
}  // namespace thalweg
