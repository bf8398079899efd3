#include "engine/advantages/correlation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/advantages/tables.h"

namespace thalweg {
namespace {

constexpr GroupNorm kPerGroup{DeviationOver::group, 5.0, 0, 1e-12};
constexpr double kTemperature = 0.5;

std::vector<double> weights_of(const std::vector<std::vector<double>>& rows,
                               double temperature = kTemperature) {
  const std::vector<double> ones(rows[0].size(), 1.0);
  return correlation_weights(weighted_rewards(rows, ones).values_BK, temperature);
}

// Columns 1 and 3 are the same, 2 is uncorrelated: b = 1/2, 0, 1/2, and e^{(1-b)/0.5} = e, e^2, e.
TEST(CorrelationWeights, AreTheSoftmaxOfWhatIsNotShared) {
  const double e = std::exp(1.0);
  expect_near(weights_of({{0, 0, 0}, {0, 1, 0}, {1, 0, 1}, {1, 1, 1}}),
              {1 / (2 + e), e / (2 + e), 1 / (2 + e)});
}

TEST(CorrelationWeights, OfColumnsThatAgreeAreAlike) {
  expect_near(weights_of({{0, 1, 5}, {2, 5, 9}, {1, 3, 7}}), {1.0 / 3, 1.0 / 3, 1.0 / 3});
}

// C = 1, -1 to the third column: b = 0, 0, -1.
TEST(CorrelationWeights, TheOneThatGoesAgainstTheOthersIsHeardMost) {
  const double e2 = std::exp(2.0), e4 = std::exp(4.0);
  expect_near(weights_of({{0, 1, 9}, {2, 5, 7}, {1, 3, 8}}),
              {e2 / (2 * e2 + e4), e2 / (2 * e2 + e4), e4 / (2 * e2 + e4)});
}

// A constant column has b = 1; for the others it is an uncorrelated one.
TEST(CorrelationWeights, AConstantColumnIsHeardLeast) {
  const double e = std::exp(1.0);
  expect_near(weights_of({{0, 0, 4}, {1, 1, 4}, {2, 2, 4}}),
              {e / (2 * e + 1), e / (2 * e + 1), 1 / (2 * e + 1)});
}

TEST(CorrelationWeights, LeaveOutWhatIsAbsent) {
  expect_near(weights_of({{0, kNan, 1}, {1, kNan, 3}, {2, 7, 5}}), {0.5, 0.0, 0.5});
  expect_near(weights_of({{0, kNan}, {1, kNan}}), {1.0, 0.0});
  expect_near(weights_of({{kNan}, {kNan}}), {0.0});
  // Over the samples that have both: column 2 follows column 1 where it is there.
  expect_near(weights_of({{0, 0}, {1, 5}, {2, 10}, {100, kNan}}), {0.5, 0.5});
}

// One group, columns as in the first test. With v the weights: sum = z(a)(v_1 + v_3) + z(b) v_2.
TEST(CorrelationAdvantages, AreTheNormalisedWeightedSum) {
  const auto rewards = weighted_rewards({{0, 0, 0}, {0, 10, 0}, {1, 0, 7}, {1, 10, 7}}, {1.0, 1.0, 1.0});
  const auto a = correlation_advantages(rewards, {0, 0, 0, 0}, kPerGroup, kTemperature);
  const double e = std::exp(1.0), both = 2 / (2 + e), alone = e / (2 + e), std = std::hypot(both, alone);
  expect_listed(a.values_B,
                {(-both - alone) / std, (-both + alone) / std, (both - alone) / std, (both + alone) / std},
                1e-9);
}

// The job's weights multiply: of two uncorrelated rewards, one of weight 3 has v = 3/4.
TEST(CorrelationAdvantages, TakeTheJobsWeights) {
  const auto rewards = weighted_rewards({{0, 0}, {0, 1}, {1, 0}, {1, 1}}, {3.0, 1.0});
  const auto a = correlation_advantages(rewards, {0, 0, 0, 0}, kPerGroup, kTemperature);
  const double std = std::hypot(0.75, 0.25);
  expect_listed(a.values_B, {-1 / std, -0.5 / std, 0.5 / std, 1 / std}, 1e-9);
}

// Group 1 lacks the second reward altogether: there the first has all the weight, so that both groups are on
// one scale: -1, 1 and -1, 1 before the last normalisation, which changes nothing.
TEST(CorrelationAdvantages, AGroupWithoutARewardWeighsWhatItHas) {
  const auto rewards = weighted_rewards({{0, 3}, {1, 5}, {4, kNan}, {9, kNan}}, {1.0, 1.0});
  const auto a = correlation_advantages(rewards, {0, 0, 1, 1}, kPerGroup, kTemperature);
  expect_listed(a.values_B, {-1, 1, -1, 1}, 1e-9);
  expect_listed(a.used_B, {1, 1, 1, 1});
}

TEST(CorrelationAdvantages, OfOneRewardAreItsOwn) {
  const auto rewards = weighted_rewards({{0}, {1}, {kNan}, {9}, {3}}, {1.0});
  const std::vector<int64_t> groups = {0, 0, 1, 1, 1};
  const GroupNorm norm{DeviationOver::batch, 1.0, 1, 1e-4};
  const auto a = correlation_advantages(rewards, groups, norm, kTemperature);
  const auto own =
      group_advantages(rewards.values_BK.select(1, 0), rewards.valid_BK.select(1, 0), groups, norm);
  EXPECT_TRUE(at::equal(a.values_B, own.values_B));
  EXPECT_TRUE(at::equal(a.used_B, own.used_B));
}

}  // namespace
}  // namespace thalweg
