#include "engine/advantages/gdpo.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/advantages/tables.h"

namespace thalweg {
namespace {

constexpr GroupNorm kPerGroup{DeviationOver::group, 5.0, 0, 1e-12};

// Groups {0,1} and {2,3}. Reward 1 is -1, 1, -1, 1 in its groups, reward 2 is 0, 0, -1, 1; weighted 1 and 2:
// -1, 1, -3, 3, of mean 0 and variance 5.
TEST(Gdpo, NormalisesTwice) {
  const auto rewards = weighted_rewards({{1, 5}, {3, 5}, {0, 200}, {4, 800}}, {1.0, 2.0});
  const auto a = gdpo_advantages(rewards, {0, 0, 1, 1}, kPerGroup);
  const double root = std::sqrt(5.0);
  expect_listed(a.values_B, {-1 / root, 1 / root, -3 / root, 3 / root}, 1e-9);
  expect_listed(a.used_B, {1, 1, 1, 1});
  EXPECT_NEAR(a.zero_std_ratio, 0.25, 1e-12);  // one of two groups of one of two rewards
  EXPECT_NEAR(a.reward_std_mean, ((1.0 + 2.0) / 2 + 300.0 / 2) / 2, 1e-9);
}

// What the sum of the rewards would hide: one of wide spread says nothing more than another.
TEST(Gdpo, DoesNotDependOnARewardsScale) {
  const auto one = gdpo_advantages(weighted_rewards({{1, 7}, {3, 2}, {0, 2}, {4, 8}}, {1.0, 1.0}),
                                   {0, 0, 1, 1}, kPerGroup);
  const auto other = gdpo_advantages(
      weighted_rewards({{1, 7000}, {3, 2000}, {0, 2000}, {4, 8000}}, {1.0, 1.0}), {0, 0, 1, 1}, kPerGroup);
  EXPECT_TRUE(at::allclose(one.values_B, other.values_B));
}

TEST(Gdpo, ANegativeWeightTurnsAReward) {
  const auto up = gdpo_advantages(weighted_rewards({{1, 7}, {3, 2}, {0, 2}, {4, 8}}, {1.0, -0.5}),
                                  {0, 0, 1, 1}, kPerGroup);
  const auto turned = gdpo_advantages(weighted_rewards({{1, -7}, {3, -2}, {0, -2}, {4, -8}}, {1.0, 0.5}),
                                      {0, 0, 1, 1}, kPerGroup);
  EXPECT_TRUE(at::allclose(up.values_B, turned.values_B));
}

// Sample 3 lacks reward 2, so its group has one value of it, which says nothing: -1, 1, -1, 1 of reward 1,
// and of reward 2: -1, 1, 0, 0. Sample 4 has neither.
TEST(Gdpo, WhatIsAbsentAddsNothing) {
  const auto rewards = weighted_rewards({{1, 2}, {3, 4}, {0, 9}, {4, kNan}, {kNan, kNan}}, {1.0, 1.0});
  const auto a = gdpo_advantages(rewards, {0, 0, 1, 1, 1}, kPerGroup);
  const double deviation = std::sqrt((4.0 + 4.0 + 1.0 + 1.0) / 4.0);
  expect_listed(a.values_B, {-2 / deviation, 2 / deviation, -1 / deviation, 1 / deviation, 0.0}, 1e-9);
  expect_listed(a.used_B, {1, 1, 1, 1, 0});
}

TEST(Gdpo, IsClampedAtTheEndAlone) {
  std::vector<std::vector<double>> values(30, {0.0});
  values[7] = {1.0};  // (29/30) / sqrt(1/30 - 1/900) = 5.39
  const auto a = gdpo_advantages(weighted_rewards(values, {1.0}), std::vector<int64_t>(30, 0), kPerGroup);
  EXPECT_EQ(listed(a.values_B)[7], 5.0);
}

TEST(Gdpo, OfNothingIsNothing) {
  const auto none = gdpo_advantages(weighted_rewards({{kNan}, {kNan}}, {1.0}), {0, 0}, kPerGroup);
  expect_listed(none.values_B, {0, 0});
  expect_listed(none.used_B, {0, 0});
  const auto alike = gdpo_advantages(weighted_rewards({{2, 3}, {2, 3}}, {1.0, 1.0}), {0, 0}, kPerGroup);
  expect_listed(alike.values_B, {0, 0});
  EXPECT_EQ(alike.zero_std_ratio, 1.0);
  EXPECT_THROW(gdpo_advantages({at::zeros({2, 2}), at::ones({2, 2}, at::kBool), {1.0}}, {0, 0}, kPerGroup),
               c10::Error);
}

}  // namespace
}  // namespace thalweg
