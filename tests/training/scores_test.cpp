// From a rollout to scores, advantages, shares and gradients.
#include "pipelines/training/scores.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/core/error.h"
#include "engine/optim/gradients.h"
#include "pipelines/training/aggregation.h"
#include "samplers/kernels/ode.h"
#include "samplers/transitions.h"
#include "tests/io/scratch.h"
#include "tests/methods/several_rewards.h"

namespace thalweg {
namespace {

constexpr GroupPlan kPlan{3, 4, 2};

std::vector<MicroBatch> drawn(Training& t, const GroupPlan& plan = kPlan) {
  return draw_groups(t, 0, plan, t.policy.velocity(),
                     [](const SamplerInput& in) { return sample_transitions(in, ode()); });
}

TEST(Scores, KeepEveryReward) {
  SmallTraining small(/*dark_weight=*/0.5);
  Metrics metrics;
  const auto scores = score(small.training, drawn(small.training), metrics);
  ASSERT_EQ(scores.raw.names_K, (std::vector<std::string>{"small/bright", "small/dark"}));
  EXPECT_EQ(scores.raw.values_BK.sizes(), at::IntArrayRef({12, 2}));
  EXPECT_EQ(scores.group_B, (std::vector<int64_t>{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2}));
  const auto bright = scores.raw.values_BK.select(1, 0), dark = scores.raw.values_BK.select(1, 1);
  EXPECT_TRUE(at::allclose(scores.total.total_B, bright + 0.5 * dark));
  EXPECT_DOUBLE_EQ(number(metrics, "reward_small/bright"), bright.mean().item<double>());
  EXPECT_DOUBLE_EQ(number(metrics, "reward"), scores.total.total_B.mean().item<double>());
  EXPECT_EQ(number(metrics, "masked_samples"), 0.0);
}

// A sample that one reward could not score is masked in the sum; the other reward is there all the same.
TEST(Scores, AFailureMasksTheSumAndNotTheRest) {
  SmallTraining small(0.5, [](uint64_t id) { return id == 5; });
  Metrics metrics;
  const auto scores = score(small.training, drawn(small.training), metrics);
  EXPECT_FALSE(scores.total.valid_B[5].item<bool>());
  EXPECT_TRUE(scores.raw.valid_BK[5][0].item<bool>());
  EXPECT_EQ(number(metrics, "masked_samples"), 1.0);
  const auto events = small.training.events.take();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].type, "reward_failed");
  const auto advantages = advantages_of(scores.total, scores.group_B, {}, metrics);
  EXPECT_FALSE(advantages.used_B[5].item<bool>());
  EXPECT_EQ(advantages.used_B.sum().item<int64_t>(), 11);
}

TEST(Scores, OfNothingAreAnError) {
  TwoRewardTraining nothing(SmallTraining::default_options(), [](uint64_t, int64_t) { return true; });
  Metrics metrics;
  const auto batches = drawn(nothing.training);
  EXPECT_ERROR(score(nothing.training, batches, metrics), "not one sample of the rollout was scored");
}

// Whoever looks at each reward goes on where one of them is left; the sum has nothing.
TEST(Scores, OfOneOfTwoRewardsHaveNoSum) {
  SmallTraining small(0.5, [](uint64_t) { return true; });
  Metrics metrics;
  const auto scores = score(small.training, drawn(small.training), metrics);
  EXPECT_ERROR(require_totals(scores), "not one sample of the rollout was scored");
  const auto rewards = trained_rewards(scores);
  EXPECT_EQ(rewards.weights_K, (std::vector<double>{1.0, 0.5}));
  EXPECT_EQ(rewards.valid_BK.sum(0)[0].item<int64_t>(), 12);
  EXPECT_EQ(rewards.valid_BK.sum(0)[1].item<int64_t>(), 0);
}

// "dark" of the rewards "bright" and "dark" has a value for 9 of 12 samples.
TEST(FailurePolicy, AsksForAShareOfEachTrainedReward) {
  SmallTraining small(0.5, [](uint64_t id) { return id < 3; });
  Metrics metrics;
  const auto scores = score(small.training, drawn(small.training), metrics);
  const auto require = [&](double fraction, const char* policy, bool begun, std::vector<double> weights_K) {
    FailurePolicy({fraction, policy}, begun).require("the rollout", scores.raw, weights_K);
  };
  EXPECT_NO_THROW(require(0.75, "pause", true, {1.0, 0.5}));
  EXPECT_NO_THROW(require(0.76, "mask", true, {1.0, 0.5}));
  EXPECT_NO_THROW(require(0.76, "pause", true, {1.0, 0.0}));  // it is only watched
  EXPECT_ERROR(require(0.76, "pause", false, {1.0, 0.5}), "small/dark has a value for 9 of 12 samples");
  for (const bool stops : {false, true}) try {
      require(0.76, stops ? "stop" : "pause", true, {1.0, 0.5});
      FAIL();
    } catch (const Stopped& stopped) {
      EXPECT_EQ(stopped.failed, stops);
      EXPECT_NE(stopped.why.find("asks for 0.76"), std::string::npos) << stopped.why;
      EXPECT_NE(stopped.why.find("cannot see"), std::string::npos) << stopped.why;
    }
}

TEST(FailurePolicy, IsAskedOfEachRollout) {
  auto options = SmallTraining::default_options();
  options.failed_rewards.min_valid_fraction = 0.9;
  SmallTraining small(
      0.5, [](uint64_t id) { return id < 3; }, options);
  Metrics metrics;
  const auto batches = drawn(small.training);
  EXPECT_ERROR(score(small.training, batches, metrics), "/failed_rewards/min_valid_fraction asks for 0.9");
}

TEST(Scores, TrainedRewardsAreThoseWithAWeight) {
  SmallTraining small;
  Metrics metrics;
  auto scores = score(small.training, drawn(small.training), metrics);
  EXPECT_EQ(trained_rewards(scores).values_BK.sizes(), at::IntArrayRef({12, 1}));
  scores.weights_K = {0.0, 0.0};  // a rehearsal: the sum stands for them
  EXPECT_TRUE(at::equal(trained_rewards(scores).values_BK.squeeze(1), scores.total.total_B));
}

TEST(Updates, ShareAllRowsOnce) {
  SmallTraining small;
  const auto batches = drawn(small.training);
  const auto used = at::ones({12}, at::kBool);
  std::set<int64_t> seen;
  for (int64_t update = 0; update < kPlan.updates; ++update) {
    const auto mine = update_of(batches, kPlan, update, used);
    EXPECT_EQ(mine.used, update == 0 ? 4.0 : 8.0);  // of three groups: one, and two
    for (const auto& share : mine.shares) {
      EXPECT_EQ(share.end - share.begin, static_cast<int64_t>(share.batch.rows.size()));
      for (int64_t row = share.begin; row < share.end; ++row) EXPECT_TRUE(seen.insert(row).second);
    }
  }
  EXPECT_EQ(seen.size(), 12u);
}

TEST(Updates, CutWhatAMethodMadeOfAllSamples) {
  SmallTraining small;
  const auto batches = drawn(small.training);
  const auto of_B = at::arange(12), of_KB = at::arange(24).view({2, 12});
  const auto mine = update_of(batches, kPlan, 1, at::ones({12}, at::kBool));
  const auto& share = mine.shares.at(1);
  EXPECT_TRUE(at::equal(share.rows(of_B), at::arange(share.begin, share.end)));
  EXPECT_TRUE(at::equal(share.rows(of_KB, 1), of_KB.slice(1, share.begin, share.end)));
}

TEST(Updates, OfMaskedSamplesHaveNoShares) {
  SmallTraining small;
  const auto batches = drawn(small.training);
  const auto mine = update_of(batches, kPlan, 0, at::zeros({12}, at::kBool));
  EXPECT_TRUE(mine.shares.empty());
  Metrics metrics;
  auto [gradients, records] =
      update_gradients(small.training, mine, 1, [](const Share&, StepRecord&) { return Gradients{{}}; });
  apply(small.training, small.training.policy, std::move(gradients[0]), 0, metrics);
  EXPECT_EQ(small.training.policy.steps(), 0);
  EXPECT_TRUE(metrics.empty());
}

TEST(Updates, GivenUpAfterSoManySkippedInARow) {
  auto options = SmallTraining::default_options();
  options.optimizer.max_skipped = 2;
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, options);
  auto& t = small.training;
  const auto apply_one = [&](double value) {
    Metrics metrics;
    apply(t, t.policy, {{"a", at::full({1}, value, at::kDouble)}}, 0, metrics);
    return number(metrics, "skipped_updates");
  };
  EXPECT_EQ(apply_one(HUGE_VAL), 1.0);
  EXPECT_TRUE(std::isnan(apply_one(1.0)));
  EXPECT_EQ(apply_one(HUGE_VAL), 1.0);
  EXPECT_TRUE(t.events.take().empty());
  EXPECT_ERROR(apply_one(HUGE_VAL), "/optimizer/max_skipped");
  const auto events = t.events.take();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].type, "updates_given_up");
  EXPECT_EQ(events[0].data.at("skipped_in_a_row"), 2);
  EXPECT_NE(events[0].message.find("/optimizer/learning_rate"), std::string::npos);
}

TEST(Updates, AreSkippedForEverWithoutABound) {
  SmallTraining small;
  Metrics metrics;
  for (int i = 0; i < 50; ++i)
    apply(small.training, small.training.policy, {{"a", at::full({1}, HUGE_VAL, at::kDouble)}}, 0, metrics);
  EXPECT_EQ(number(metrics, "skipped_updates"), 50.0);
}

// A head a reward: each has the gradient that it would have alone.
TEST(Updates, HeadsAreGradientsOfTheirOwn) {
  SmallTraining small(0.5);
  auto& t = small.training;
  Metrics metrics;
  const auto batches = drawn(t);
  const auto scores = score(t, batches, metrics);
  const auto mine = update_of(batches, kPlan, 1, scores.total.valid_B);
  const auto weights_KB = scores.raw.values_BK.t();
  const auto gradient_of = [&](const std::vector<int64_t>& columns) {
    const auto sums =
        update_gradients(t, mine, static_cast<int64_t>(columns.size()), [&](const Share& share, StepRecord&) {
          Gradients heads;
          for (const int64_t k : columns) {
            const auto w = share.rows(weights_KB, 1)[k].view({-1, 1, 1, 1, 1});
            const auto v = t.policy.velocity()(share.batch.trajectory.x0_BCFHW, {}, share.batch.conditioning);
            heads.push_back(gradients_of((v * w).sum(), t.policy.parameters()));
          }
          return heads;
        });
    return sums.first;
  };
  const auto both = gradient_of({0, 1});
  ASSERT_EQ(both.size(), 2u);
  for (const int64_t k : {0, 1})
    for (const char* name : {"a", "b"})
      EXPECT_TRUE(at::equal(both[static_cast<size_t>(k)].at(name), gradient_of({k})[0].at(name)));
  EXPECT_FALSE(at::equal(both[0].at("a"), both[1].at("a")));
}

TEST(Updates, AStopGivesUpWhatHasNotBegun) {
  SmallTraining small;
  auto& t = small.training;
  const auto batches = drawn(t);
  small.observer.stop_requested = [] { return true; };
  const auto update = [&](int64_t index) {
    return update_of(batches, kPlan, index, at::ones({12}, at::kBool));
  };
  const auto nothing = [](const Share&, StepRecord&) { return Gradients{{}}; };
  EXPECT_THROW(update_gradients(t, update(0), 1, nothing), Stopped);
  EXPECT_NO_THROW(update_gradients(t, update(1), 1, nothing));
}

}  // namespace
}  // namespace thalweg
