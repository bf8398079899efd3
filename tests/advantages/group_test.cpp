#include "engine/advantages/group.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace thalweg {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kEps = 1e-4;

at::Tensor rewards(std::vector<double> values) {
  return at::tensor(values, at::kDouble);
}

at::Tensor mask(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong).to(at::kBool);
}

std::vector<double> listed(const at::Tensor& values) {
  const auto v = values.to(at::kDouble).contiguous();
  return {v.const_data_ptr<double>(), v.const_data_ptr<double>() + v.numel()};
}

void expect_values(const GroupAdvantages& advantages, const std::vector<double>& expected) {
  const auto found = listed(advantages.values_B);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-12) << i;
}

// Groups {1,3} and {10,14}: means 2 and 12, deviations 1 and 2.
TEST(GroupAdvantages, DivideByTheGroupsDeviation) {
  const auto a = group_advantages(rewards({1, 10, 3, 14}), mask({1, 1, 1, 1}), {7, 4, 7, 4},
                                  {DeviationOver::group, 5.0});
  expect_values(a, {-1.0 / (1.0 + kEps), -2.0 / (2.0 + kEps), 1.0 / (1.0 + kEps), 2.0 / (2.0 + kEps)});
  EXPECT_EQ(listed(a.used_B), (std::vector<double>{1, 1, 1, 1}));
  EXPECT_EQ(a.zero_std_ratio, 0.0);
  EXPECT_NEAR(a.reward_std_mean, 1.5, 1e-12);
  EXPECT_EQ(a.values_B.scalar_type(), at::kDouble);
  EXPECT_EQ(a.used_B.scalar_type(), at::kBool);
}

// All four: mean 7, squares 36, 9, 16, 49: population variance 27.5.
TEST(GroupAdvantages, DivideByTheBatchsDeviation) {
  const auto a = group_advantages(rewards({1, 10, 3, 14}), mask({1, 1, 1, 1}), {7, 4, 7, 4},
                                  {DeviationOver::batch, 5.0});
  const double std = std::sqrt(27.5) + kEps;
  expect_values(a, {-1.0 / std, -2.0 / std, 1.0 / std, 2.0 / std});
  EXPECT_NEAR(a.reward_std_mean, 1.5, 1e-12);  // still the groups'
}

// Group 0 is {2, 4, masked}, group 1 is {1, 5}; whatever a masked reward holds must not show.
TEST(GroupAdvantages, MaskedSamplesChangeNothing) {
  const std::vector<int64_t> groups = {0, 0, 0, 1, 1};
  for (const auto deviation : {DeviationOver::group, DeviationOver::batch}) {
    const auto without =
        group_advantages(rewards({2, 4, 1, 5}), mask({1, 1, 1, 1}), {0, 0, 1, 1}, {deviation, 5.0});
    for (const double hidden : {kNan, std::numeric_limits<double>::infinity(), -1e300, 0.0}) {
      const auto a =
          group_advantages(rewards({2, 4, hidden, 1, 5}), mask({1, 1, 0, 1, 1}), groups, {deviation, 5.0});
      const auto expected = listed(without.values_B), found = listed(a.values_B);
      EXPECT_EQ(found, (std::vector<double>{expected[0], expected[1], 0.0, expected[2], expected[3]}));
      EXPECT_EQ(listed(a.used_B), (std::vector<double>{1, 1, 0, 1, 1}));
      EXPECT_EQ(a.reward_std_mean, without.reward_std_mean);
      EXPECT_EQ(a.zero_std_ratio, without.zero_std_ratio);
    }
  }
}

TEST(GroupAdvantages, AGroupOfOneScoredSampleIsNotUsed) {
  const auto a = group_advantages(rewards({5, 1, 3, kNan, 9}), mask({1, 1, 1, 0, 1}), {0, 1, 1, 2, 2},
                                  {DeviationOver::group, 5.0});
  EXPECT_EQ(listed(a.used_B), (std::vector<double>{0, 1, 1, 0, 0}));
  expect_values(a, {0.0, -1.0 / (1.0 + kEps), 1.0 / (1.0 + kEps), 0.0, 0.0});
}

TEST(GroupAdvantages, EqualRewardsGiveNoAdvantage) {
  const auto a = group_advantages(rewards({0.1, 0.1, 0.1, 0.0, 1.0}), mask({1, 1, 1, 1, 1}), {0, 0, 0, 1, 1},
                                  {DeviationOver::group, 5.0});
  expect_values(a, {0.0, 0.0, 0.0, -0.5 / (0.5 + kEps), 0.5 / (0.5 + kEps)});
  EXPECT_EQ(a.zero_std_ratio, 0.5);
  EXPECT_NEAR(a.reward_std_mean, 0.25, 1e-12);
}

TEST(GroupAdvantages, AreClamped) {
  // One of nine differs: (1 - 1/9) / sqrt(1/9 - 1/81) = 2.83.
  std::vector<double> values(9, 0.0);
  values[4] = 1.0;
  const auto a = group_advantages(rewards(values), mask(std::vector<int64_t>(9, 1)),
                                  std::vector<int64_t>(9, 3), {DeviationOver::group, 2.0});
  EXPECT_EQ(listed(a.values_B)[4], 2.0);
  EXPECT_NEAR(listed(a.values_B)[0], -(1.0 / 9.0) / (std::sqrt(8.0) / 9.0 + kEps), 1e-12);
  const auto negative = group_advantages(-rewards(values), mask(std::vector<int64_t>(9, 1)),
                                         std::vector<int64_t>(9, 3), {DeviationOver::group, 2.0});
  EXPECT_EQ(listed(negative.values_B)[4], -2.0);
}

TEST(GroupAdvantages, NothingScoredIsNothingUsed) {
  const auto a = group_advantages(rewards({kNan, kNan}), mask({0, 0}), {0, 0}, {DeviationOver::batch, 5.0});
  expect_values(a, {0.0, 0.0});
  EXPECT_EQ(listed(a.used_B), (std::vector<double>{0, 0}));
  EXPECT_EQ(a.zero_std_ratio, 0.0);
}

TEST(GroupAdvantages, TakeAnyLayoutAndFloat32) {
  const auto column =
      at::tensor({1.0, -1.0, 3.0, -1.0}, at::kFloat).view({2, 2}).select(1, 0);  // strided: 1, 3
  const auto a = group_advantages(column, mask({1, 0, 1, 0}).view({2, 2}).select(1, 0), {0, 0},
                                  {DeviationOver::group, 5.0});
  expect_values(a, {-1.0 / (1.0 + kEps), 1.0 / (1.0 + kEps)});
  EXPECT_THROW(group_advantages(column, mask({1, 1}), {0}, {DeviationOver::group, 5.0}), c10::Error);
}

// Groups {1,3}, {5} and {9, 9}: the one sample says nothing of its group's spread.
TEST(GroupAdvantages, OneSampleIsNoGroup) {
  const auto a = group_advantages(rewards({1, 3, 5, 9, 9}), mask({1, 1, 1, 1, 1}), {0, 0, 1, 2, 2},
                                  {DeviationOver::group, 5.0});
  EXPECT_EQ(listed(a.used_B), (std::vector<double>{1, 1, 0, 1, 1}));
  EXPECT_NEAR(a.zero_std_ratio, 0.5, 1e-12);
  EXPECT_NEAR(a.reward_std_mean, 0.5, 1e-12);
  const auto none = group_advantages(rewards({1, 3}), mask({1, 1}), {0, 1}, {DeviationOver::group, 5.0});
  EXPECT_EQ(none.zero_std_ratio, 0.0);
  EXPECT_EQ(listed(none.used_B), (std::vector<double>{0, 0}));
}

}  // namespace
}  // namespace thalweg
