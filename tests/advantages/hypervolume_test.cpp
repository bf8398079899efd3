#include "engine/advantages/hypervolume.h"

#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/rng.h"

namespace thalweg {
namespace {

const std::vector<RewardPoint> kStairs = {{1, 3}, {2, 2}, {3, 1}};

TEST(Hypervolume, IsTheAreaUnderTheStairs) {
  EXPECT_DOUBLE_EQ(hypervolume(kStairs, {0, 0}), 6.0);
  auto more = kStairs;
  more.push_back({2.5, 2.5});
  EXPECT_DOUBLE_EQ(hypervolume(more, {0, 0}), 7.25);
  EXPECT_DOUBLE_EQ(hypervolume({{1, 1, 1}, {2, 0.5, 0.5}}, {0, 0, 0}), 1.25);
  EXPECT_DOUBLE_EQ(hypervolume({{5}, {3}}, {1}), 4.0);
  EXPECT_DOUBLE_EQ(hypervolume({}, {0, 0}), 0.0);
}

TEST(Hypervolume, DoesNotDependOnTheOrderOrOnDominatedPoints) {
  auto points = kStairs;
  points.push_back({1, 1});
  points.push_back({2, 2});
  do {
    EXPECT_DOUBLE_EQ(hypervolume(points, {0, 0}), 6.0);
  } while (std::next_permutation(points.begin(), points.end()));
}

TEST(Hypervolume, WhatIsNotAboveTheReferenceCountsNothing) {
  EXPECT_DOUBLE_EQ(hypervolume({{-1, 5}, {2, 2}, {3, 0}}, {0, 0}), 4.0);
  EXPECT_DOUBLE_EQ(hypervolume_contribution({}, {-1, -1}, {0, 0}), 0.0);  // two negative sides are no area
  EXPECT_THROW(hypervolume({{1, 2, 3}}, {0, 0}), c10::Error);
}

// Against inclusion and exclusion of the boxes, in four rewards.
TEST(Hypervolume, IsTheUnionOfTheBoxes) {
  const RewardPoint zero(4, 0.0);
  for (uint64_t n = 0; n < 50; ++n) {
    std::vector<RewardPoint> points(5, RewardPoint(4));
    for (uint64_t i = 0; i < 5; ++i)
      for (uint64_t k = 0; k < 4; ++k) points[i][k] = random_uniform(n, Purpose::data, i, k);
    double expected = 0.0;
    for (unsigned set = 1; set < 32; ++set) {
      double volume = 1.0, sign = -1.0;
      for (size_t k = 0; k < 4; ++k) {
        double side = 1.0;
        for (size_t i = 0; i < 5; ++i)
          if (set >> i & 1u) side = std::min(side, points[i][k]);
        volume *= side;
      }
      for (size_t i = 0; i < 5; ++i) sign = set >> i & 1u ? -sign : sign;
      expected += sign * volume;
    }
    EXPECT_NEAR(hypervolume(points, zero), expected, 1e-12);
    const RewardPoint last = points.back();
    points.pop_back();
    EXPECT_NEAR(hypervolume_contribution(points, last, zero), expected - hypervolume(points, zero), 1e-12);
  }
}

TEST(Hypervolume, WeightsRunFromAHalfToTwo) {
  EXPECT_DOUBLE_EQ(hypervolume_weight(0.0), 0.5);
  EXPECT_DOUBLE_EQ(hypervolume_weight(1.0), 0.5 + 1.5 * std::tanh(1.0));
  EXPECT_LE(hypervolume_weight(1e9), 2.0);
}

TEST(Front, KeepsWhatIsNotDominated) {
  std::vector<RewardPoint> front;
  for (const auto& p : std::vector<RewardPoint>{{1, 1}, {2, 2}, {2, 2}, {3, 1}, {0, 9}, {2, 1}})
    add_to_front(front, p);
  EXPECT_EQ(front, (std::vector<RewardPoint>{{2, 2}, {3, 1}, {0, 9}}));
}

}  // namespace
}  // namespace thalweg
