#include "engine/core/statistics.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace thalweg {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(MaskedMean, IsOfTheValidAloneInTheirDtype) {
  const auto values = at::tensor({0.1, kNan, 0.7}, at::kDouble);
  const auto mask = [](const std::vector<int64_t>& which) { return at::tensor(which).to(at::kBool); };
  EXPECT_EQ(masked_mean(values, mask({1, 0, 1})), (0.1 + 0.7) / 2);
  EXPECT_TRUE(std::isnan(masked_mean(values, mask({1, 1, 1}))));
  EXPECT_TRUE(std::isnan(masked_mean(values, mask({0, 0, 0}))));
  const auto rounded = masked_mean(values.to(at::kFloat), mask({1, 0, 0}));
  EXPECT_EQ(rounded, static_cast<double>(0.1f));
}

TEST(Quantile, InterpolatesAsNumpyDoes) {
  const std::vector<double> values = {3, 1, 4, 1, 5, 9, 2, 6};
  EXPECT_NEAR(quantile(values, 0.3), 2.1, 1e-12);
  EXPECT_EQ(quantile(values, 0.0), 1.0);
  EXPECT_EQ(quantile(values, 1.0), 9.0);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
  EXPECT_THROW(quantile(values, 1.5), std::invalid_argument);
  EXPECT_THROW(quantile({1.0, kNan}, 0.5), std::invalid_argument);
}

TEST(Correlation, AgreesWithNumpy) {
  const std::vector<double> a = {3, 1, 4, 1, 5, kNan, 9}, b = {2, 7, 1, 8, 2, 100, INFINITY};
  EXPECT_NEAR(correlation(a, b), -0.9057110466368399, 1e-12);  // numpy.corrcoef of the first five
  EXPECT_EQ(correlation({1, 2, 3}, {2, 4, 6}), 1.0);
  EXPECT_TRUE(std::isnan(correlation({1, 2, 3}, {5, 5, 5})));
  EXPECT_TRUE(std::isnan(correlation({1, kNan}, {5, 6})));
  EXPECT_TRUE(std::isnan(correlation({}, {})));
  EXPECT_THROW(correlation({1.0}, {}), std::invalid_argument);
}

TEST(RankCorrelation, AgreesWithScipy) {
  const std::vector<double> a = {3, 1, 4, 1, 5, kNan, 9}, b = {2, 7, 1, 8, 2, 100, INFINITY};
  EXPECT_NEAR(rank_correlation(a, b), -0.7894736842105263, 1e-12);  // scipy.stats.spearmanr of the first five
  EXPECT_EQ(rank_correlation({1, 2, 3}, {1, 10, 1000}), 1.0);
  EXPECT_TRUE(std::isnan(rank_correlation({1, 2, 3}, {5, 5, 5})));
  EXPECT_THROW(rank_correlation({1.0}, {}), std::invalid_argument);
}

TEST(PairedDifference, OfAConstantShiftHasNoSpread) {
  const auto d = paired_difference({0.1, 0.7, 0.4}, {0.35, 0.95, 0.65});
  EXPECT_NEAR(d.mean_before, 0.4, 1e-12);
  EXPECT_NEAR(d.mean_after, 0.65, 1e-12);
  EXPECT_NEAR(d.mean, 0.25, 1e-12);
  EXPECT_NEAR(d.low, 0.25, 1e-12);
  EXPECT_NEAR(d.high, 0.25, 1e-12);
  EXPECT_EQ(d.n, 3);
}

// With two pairs of differences 0 and 1, a resample's mean is 0, 0.5 or 1 with chances 1/4, 1/2, 1/4.
TEST(PairedDifference, OfTwoPairsSpansBoth) {
  const auto d = paired_difference({0.0, 0.0}, {0.0, 1.0});
  EXPECT_EQ(d.mean, 0.5);
  EXPECT_EQ(d.low, 0.0);
  EXPECT_EQ(d.high, 1.0);
}

TEST(PairedDifference, MatchesTheNormalIntervalOfManyPairs) {
  std::vector<double> before(400, 0.0), after;
  for (int i = 0; i < 400; ++i) after.push_back(std::sin(1.7 * i) + 0.3);
  const auto d = paired_difference(before, after, 3);
  const double half = 1.96 * at::tensor(after).std().item<double>() / std::sqrt(400.0);
  EXPECT_NEAR(d.low, d.mean - half, 0.05 * half);
  EXPECT_NEAR(d.high, d.mean + half, 0.05 * half);
}

TEST(PairedDifference, DropsPairsNotScoredOnBothSides) {
  const auto d = paired_difference({0.2, kNan, 0.4, 0.6}, {0.3, 0.9, kNan, 0.9});
  EXPECT_EQ(d.n, 2);
  EXPECT_EQ(d.dropped, 2);
  EXPECT_NEAR(d.mean_before, 0.4, 1e-12);
  EXPECT_NEAR(d.mean, 0.2, 1e-12);
}

TEST(PairedDifference, ClaimsNoIntervalWithoutPairs) {
  const auto none = paired_difference({kNan}, {1.0});
  EXPECT_EQ(none.n, 0);
  EXPECT_TRUE(std::isnan(none.mean));
  const auto one = paired_difference({1.0}, {2.0});
  EXPECT_EQ(one.mean, 1.0);
  EXPECT_TRUE(std::isnan(one.low) && std::isnan(one.high));
  EXPECT_THROW(paired_difference({1.0}, {}), std::invalid_argument);
}

TEST(PairedDifference, DependsOnItsSeedAlone) {
  const std::vector<double> before = {0.1, 0.2, 0.5, 0.3, 0.9}, after = {0.4, 0.1, 0.8, 0.7, 0.9};
  const auto a = paired_difference(before, after, 11), b = paired_difference(before, after, 11);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
  EXPECT_LT(a.low, a.mean);
  EXPECT_GT(a.high, a.mean);
}

}  // namespace
}  // namespace thalweg
