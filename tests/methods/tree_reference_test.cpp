// What trees are held against: a KL term that follows a target, and a reference that is reset.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/methods/methods.h"

namespace thalweg {
namespace {

struct TreeRun {
  TreeRun(const std::string& name, const Json& more)
      : small(
            0.5, [](uint64_t) { return false; }, stochastic()) {
    auto settings = settings_of(name, 1);
    if (name == "tempflow_grpo") settings["branches"] = 2;
    settings.update(more);
    run = method_named(name, settings)->start(small.training);
  }

  SmallTraining small;
  std::unique_ptr<MethodRun> run;
};

class TreeReference : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Methods, TreeReference, ::testing::Values("branch_grpo", "tempflow_grpo"));

TEST_P(TreeReference, BetaFollowsTheTarget) {
  constexpr double kTarget = 1e-4, kRate = 0.5;
  TreeRun tree(GetParam(), {{"kl_beta", 2.0}, {"kl_target", {{"kl", kTarget}, {"rate", kRate}}}});
  double beta = 2.0;
  for (int64_t i = 0; i < 4; ++i) {
    const auto metrics = tree.run->iterate(i);
    EXPECT_DOUBLE_EQ(number(metrics, "kl_beta"), beta) << i;
    const double kl = number(metrics, "kl_loss");
    beta *= 1.0 + kRate * std::clamp(kl / kTarget - 1.0, -0.2, 0.2);
  }
  EXPECT_NE(beta, 2.0);
}

// The beta that is told is the one that counts.
TEST_P(TreeReference, BetaWeighsTheLoss) {
  TreeRun some(GetParam(), {{"kl_beta", 0.1}}), more(GetParam(), {{"kl_beta", 50.0}});
  for (int64_t i = 0; i < 6; ++i) some.run->iterate(i), more.run->iterate(i);
  EXPECT_GT(number(some.run->iterate(6), "kl_loss"), number(more.run->iterate(6), "kl_loss"));
}

// An update from the policy that is the reference has no KL.
TEST_P(TreeReference, AResetReferenceIsThePolicy) {
  TreeRun stays(GetParam(), {{"kl_beta", 0.1}}),
      resets(GetParam(), {{"kl_beta", 0.1}, {"reference_reset", {{"every", 1}}}});
  stays.run->iterate(0), resets.run->iterate(0);
  EXPECT_GT(number(stays.run->iterate(1), "kl_loss"), 1e-9);
  const auto metrics = resets.run->iterate(1);
  EXPECT_EQ(number(metrics, "kl_loss"), 0.0);
  EXPECT_EQ(number(metrics, "reference_resets"), 1.0);
}

TEST_P(TreeReference, GoesOnFromACheckpoint) {
  const Json keys = {{"kl_beta", 0.1}, {"kl_target", {{"kl", 1e-3}}}, {"reference_reset", {{"every", 2}}}};
  TreeRun whole(GetParam(), keys), resumed(GetParam(), keys);
  for (int64_t i = 0; i < 3; ++i) whole.run->iterate(i);
  carry_over(3, whole.small.training, *whole.run, resumed.small.training, *resumed.run);
  const auto a = whole.run->iterate(3), b = resumed.run->iterate(3);
  EXPECT_EQ(number(a, "reference_resets"), 1.0);
  EXPECT_NE(number(a, "kl_beta"), 0.1);
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, value] : a) EXPECT_EQ(value, number(b, name)) << name;
}

TEST_P(TreeReference, RefusesWhatWouldDoNothing) {
  const auto check = [](Json more) {
    auto settings = settings_of(GetParam(), 1);
    if (GetParam() == "tempflow_grpo") settings["branches"] = 2;
    settings.update(more);
    method_named(GetParam(), settings)->check(stochastic());
  };
  EXPECT_ERROR(check({{"kl_target", {{"kl", 0.1}}}}), "/method/kl_target/kl");
  EXPECT_ERROR(check({{"reference_reset", {{"every", 3}}}}), "/method/reference_reset");
  EXPECT_NO_THROW(check({{"kl_beta", 0.1}, {"reference_reset", {{"every", 3}}}}));
  EXPECT_FALSE(has_key(GetParam(), "kl_in"));
}

}  // namespace
}  // namespace thalweg
