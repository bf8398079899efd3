#include "pipelines/stages/evaluation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace thalweg {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(EvaluationMeans, LeaveFailedSamplesOut) {
  Evaluation e;
  e.rewards = make_reward_batch(
      {"a/x", "b/y", "c/z"},
      at::tensor({1.0, kNan, kNan, 3.0, 10.0, kNan, 5.0, kNan, kNan}, at::kDouble).view({3, 3}));
  EXPECT_EQ(e.mean(0), 3.0);
  EXPECT_EQ(e.mean(1), 10.0);
  EXPECT_TRUE(std::isnan(e.mean(2)));  // nothing scored: no number, rather than zero
  e.total = weighted(e.rewards, {1.0, 0.5, 0.0});
  EXPECT_EQ(e.mean_total(), 8.0);  // only the second has all that counts
}

}  // namespace
}  // namespace thalweg
