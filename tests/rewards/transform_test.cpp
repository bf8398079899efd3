#include "rewards/transform/transform.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "rewards/combine/weighted.h"

namespace thalweg {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

RewardBatch column(std::initializer_list<double> values) {
  const auto x = at::tensor(std::vector<double>(values), at::kDouble);
  return make_reward_batch({"a"}, x.unsqueeze(1));
}

double value(const RewardBatch& batch, int64_t b) {
  return batch.values_BK[b][0].item<double>();
}
bool valid(const RewardBatch& batch, int64_t b) {
  return batch.valid_BK[b][0].item<bool>();
}

TEST(RewardBatch, WhatIsNotFiniteIsInvalidAndNan) {
  const auto batch = column({1.5, kNan, kInfinity, -kInfinity});
  EXPECT_TRUE(valid(batch, 0));
  for (int64_t b = 1; b < 4; ++b) {
    EXPECT_FALSE(valid(batch, b));
    EXPECT_TRUE(std::isnan(value(batch, b)));
  }
  EXPECT_THROW(make_reward_batch({"a", "b"}, at::zeros({2, 1})), std::invalid_argument);
}

TEST(RewardBatch, SplitsAndJoins) {
  const auto whole = make_reward_batch({"a", "b", "c"}, at::arange(6).to(at::kDouble).view({2, 3}));
  const auto joined = concatenate_columns({columns(whole, 0, 1), columns(whole, 1, 2)});
  EXPECT_EQ(joined.names_K, whole.names_K);
  EXPECT_TRUE(at::equal(joined.values_BK, whole.values_BK));
  EXPECT_THROW(columns(whole, 2, 2), std::invalid_argument);
  EXPECT_EQ(concatenate_samples({whole, whole}).batch(), 4);
  EXPECT_THROW(concatenate_samples({whole, columns(whole, 0, 1)}), std::invalid_argument);
}

TEST(Transforms, KeepInvalidEntriesInvalid) {
  TransformOptions options;
  options.affine.clip = true;
  for (const char* name : {"identity", "log_sigmoid", "affine"}) {
    options.name = name;
    const auto made = apply_transform(options, column({0.5, kNan}));
    EXPECT_TRUE(valid(made, 0)) << name;
    EXPECT_FALSE(valid(made, 1)) << name;
    EXPECT_TRUE(std::isnan(value(made, 1))) << name;
  }
  options.name = "cube";
  EXPECT_THROW(apply_transform(options, column({1.0})), std::invalid_argument);
}

TEST(Transforms, LogSigmoidIsExactAtBothEnds) {
  const auto made = apply_transform({"log_sigmoid", {}}, column({0.0, 2.0, -800.0, 800.0}));
  EXPECT_DOUBLE_EQ(value(made, 0), -std::log(2.0));
  EXPECT_DOUBLE_EQ(value(made, 1), -std::log1p(std::exp(-2.0)));
  EXPECT_DOUBLE_EQ(value(made, 2), -800.0);
  EXPECT_EQ(value(made, 3), 0.0);
}

TEST(Transforms, AffineScalesShiftsAndClips) {
  TransformOptions options{"affine", {}};
  options.affine.scale = 2;
  options.affine.shift = -1;
  EXPECT_EQ(value(apply_transform(options, column({3.0})), 0), 5.0);
  options.affine.clip = true;  // to [0, 1]
  const auto made = apply_transform(options, column({3.0, 0.75, -4.0}));
  EXPECT_EQ(value(made, 0), 1.0);
  EXPECT_EQ(value(made, 1), 0.5);
  EXPECT_EQ(value(made, 2), 0.0);
  options.affine.low = 2;
  EXPECT_THROW(apply_transform(options, column({3.0})), std::invalid_argument);
}

TEST(Weighted, SumsAndMasksButNeverCountsAMissingTermAsZero) {
  const auto values = at::tensor({1.0, 10.0, 2.0, kNan, kNan, 30.0}, at::kDouble).view({3, 2});
  const auto batch = make_reward_batch({"a", "b"}, values);
  const auto both = weighted(batch, {2.0, -0.5});
  EXPECT_EQ(both.total_B[0].item<double>(), -3.0);
  EXPECT_TRUE(at::equal(both.valid_B, at::tensor({1, 0, 0}).to(at::kBool)));
  EXPECT_TRUE(both.total_B.slice(0, 1, 3).isnan().all().item<bool>());

  const auto first = weighted(batch, {1.0, 0.0});
  EXPECT_TRUE(at::equal(first.valid_B, at::tensor({1, 1, 0}).to(at::kBool)));
  EXPECT_EQ(first.total_B[1].item<double>(), 2.0);
}

TEST(Weighted, RefusesWrongWeightsAndMasksAnOverflow) {
  const auto batch = column({1e308});
  EXPECT_THROW(weighted(batch, {}), std::invalid_argument);
  EXPECT_THROW(weighted(batch, {kNan}), std::invalid_argument);
  EXPECT_FALSE(weighted(batch, {10.0}).valid_B[0].item<bool>());
}

}  // namespace
}  // namespace thalweg
