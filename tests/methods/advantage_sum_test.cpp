// Each reward's own advantages, summed: against a table by hand.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "pipelines/training/aggregation.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

Scores scores_of(const at::Tensor& values_BK, std::vector<double> weights_K) {
  Scores s;
  s.raw = s.transformed = make_reward_batch({"a", "b"}, values_BK);
  s.weights_K = std::move(weights_K);
  s.total = weighted(s.transformed, s.weights_K);
  s.group_B.assign(static_cast<size_t>(values_BK.size(0)), 0);
  return s;
}

Advantages advantages_by_sum(const Scores& scores, const GroupNorm& norm, double trimmed) {
  Chosen<Aggregation> way;
  read_fields({{"name", "advantage_sum"}, {"trimmed_ratio", trimmed}}, "", [&](Fields& f) {
    way.describe(f, {"name", ""}, aggregation_table());
  });
  Metrics metrics;
  return way->start(norm, RewardSet({}))->advantages(scores, metrics);
}

const GroupNorm kNorm{.deviation = DeviationOver::group, .clip = 5.0, .ddof = 1, .eps = 1e-8};

at::Tensor table() {
  return at::tensor({0.0, 5.0, 1.0, 5.0, 2.0, 5.0, 3.0, 9.0}, at::kDouble).view({4, 2});
}

// Column a: mean 1.5, deviation sqrt(5/3); b: mean 6, deviation 2, of weight 2.
TEST(AdvantageSum, IsTheSumOfTheRewardsOwn) {
  const auto a = advantages_by_sum(scores_of(table(), {1.0, 2.0}), kNorm, 0.0);
  const double s = std::sqrt(5.0 / 3.0);
  const auto expected =
      at::tensor({-1.5 / s - 1.0, -0.5 / s - 1.0, 0.5 / s - 1.0, 1.5 / s + 3.0}, at::kDouble);
  ASSERT_EQ(a.heads.size(), 1u);
  EXPECT_TRUE(at::allclose(a.heads[0].values_B, expected, 1e-7, 0.0)) << a.heads[0].values_B;
}

// A quarter is left out: of a the 0, of b one of the fives; the rest have means 2 and 19/3, deviations 1 and
// sqrt(16/3).
TEST(AdvantageSum, TheWorstAreLeftOutOfTheStatisticsAlone) {
  const auto a = advantages_by_sum(scores_of(table(), {1.0, 2.0}), kNorm, 0.25);
  const double s = std::sqrt(16.0 / 3.0), low = 2.0 * (5.0 - 19.0 / 3.0) / s,
               high = 2.0 * (9.0 - 19.0 / 3.0) / s;
  const auto expected = at::tensor({-2.0 + low, -1.0 + low, low, 1.0 + high}, at::kDouble);
  EXPECT_TRUE(at::allclose(a.heads[0].values_B, expected, 1e-7, 0.0)) << a.heads[0].values_B;
  EXPECT_TRUE(a.used_B.all().item<bool>());
}

TEST(AdvantageSum, TheSumIsClamped) {
  const auto a = advantages_by_sum(scores_of(table(), {1.0, 100.0}), kNorm, 0.0);
  EXPECT_EQ(a.heads[0].values_B.max().item<double>(), 5.0);
  EXPECT_EQ(a.heads[0].values_B.min().item<double>(), -5.0);
}

TEST(AdvantageSum, ASampleThatOneRewardMissesIsMasked) {
  auto values = table();
  values[1][1] = std::nan("");
  const auto a = advantages_by_sum(scores_of(values, {1.0, 2.0}), kNorm, 0.0);
  EXPECT_FALSE(a.used_B[1].item<bool>());
  EXPECT_EQ(a.heads[0].values_B[1].item<double>(), 0.0);
  EXPECT_NEAR(a.heads[0].values_B.sum().item<double>(), 0.0, 1e-12);
  // One of weight 0 is not looked at.
  EXPECT_TRUE(advantages_by_sum(scores_of(values, {1.0, 0.0}), kNorm, 0.0).used_B.all().item<bool>());
}

TEST(AdvantageSum, BoundsOfItsKey) {
  for (const double wrong : {-0.1, 1.0})
    EXPECT_ERROR(advantages_by_sum(scores_of(table(), {1.0, 2.0}), kNorm, wrong), "/trimmed_ratio");
}

}  // namespace
}  // namespace thalweg
