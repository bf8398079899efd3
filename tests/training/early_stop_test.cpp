#include "pipelines/training/early_stop.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/core/error.h"

namespace thalweg {
namespace {

Json row(int64_t step, Json value, const char* kind = "eval") {
  return {{"step", step}, {"kind", kind}, {"reward", std::move(value)}};
}

// Evaluations every 2 iterations, from step 0 on; where the run ends.
std::optional<int64_t> end_of(EarlyStop early, const std::vector<Json>& values) {
  for (size_t i = 0; i < values.size(); ++i) early.observe(row(2 * static_cast<int64_t>(i), values[i]));
  return early.ended();
}

EarlyStop patient(int64_t patience, double min_delta = 0.0) {
  return {{true, patience, min_delta}, "reward", 2};
}

TEST(EarlyStop, EndsAfterSoManyEvaluationsWithoutABetterOne) {
  EXPECT_EQ(end_of(patient(2), {1.0, 2.0, 3.0, 2.9, 3.5, 3.4, 3.3}), 12);
  EXPECT_EQ(end_of(patient(3), {1.0, 2.0, 3.0, 2.9, 3.5, 3.4, 3.3}), std::nullopt);
  EXPECT_EQ(end_of(patient(1), {1.0, 2.0, 1.0}), 4);
}

TEST(EarlyStop, WhatIsEqualIsNotBetter) {
  EXPECT_EQ(end_of(patient(2), {1.0, 1.0, 1.0}), 4);
}

// The start counts as a best, and not as a wait.
TEST(EarlyStop, ARunThatOnlyFallsEnds) {
  EXPECT_EQ(end_of(patient(2), {1.0, 0.9, 0.95}), 4);
  EXPECT_EQ(end_of(patient(1), {1.0}), std::nullopt);
}

// Small steps add up: each is held against the last one that counted.
TEST(EarlyStop, StepsBelowMinDeltaCountTogether) {
  EXPECT_EQ(end_of(patient(3, 0.25), {1.0, 1.125, 1.25, 1.5, 1.625, 1.75, 1.75}), 12);
  EXPECT_EQ(end_of(patient(2, 0.25), {1.0, 1.125, 1.25}), 4);
}

TEST(EarlyStop, AnEvaluationWithoutAValueIsNoBetterOne) {
  EXPECT_EQ(end_of(patient(2), {1.0, nullptr, std::nan("")}), 4);
  EXPECT_EQ(end_of(patient(2), {1.0, nullptr, 2.0, nullptr}), std::nullopt);
  EXPECT_EQ(end_of({{true, 1, 0.0}, "other", 2}, {1.0, 2.0}), 2);
}

TEST(EarlyStop, PassesOverOtherRows) {
  auto early = patient(1);
  early.observe(row(0, 1.0));
  early.observe(row(2, 0.0, "train"));
  early.observe(row(3, 0.0));  // of an end that was not the end
  EXPECT_FALSE(early.ended());
  early.observe(row(4, 0.0));
  EXPECT_EQ(early.ended(), 4);
  early.observe(row(6, 9.0));
  EXPECT_EQ(early.ended(), 4);
}

TEST(EarlyStop, SaysWhy) {
  auto early = patient(2, 0.5);
  EXPECT_EQ(early.reason(), "");
  for (const int64_t step : {0, 2, 4, 6}) early.observe(row(step, step == 2 ? 2.25 : 1.0));
  EXPECT_EQ(early.reason(),
            "in 2 held-out evaluations in a row reward did not exceed 2.250, that of iteration 2, by more "
            "than 0.500");
}

TEST(EarlyStop, RefusesNoPatience) {
  EarlyStopSection section;
  const auto read = [&](const Json& json) {
    read_fields(json, "/early_stop", [&](Fields& f) { describe(f, section); });
  };
  EXPECT_NO_THROW(read({{"patience", 1}, {"min_delta", 0.0}}));
  EXPECT_THROW(read({{"patience", 0}}), Error);
  EXPECT_THROW(read({{"min_delta", -0.1}}), Error);
}

}  // namespace
}  // namespace thalweg
