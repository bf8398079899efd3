// A tree that is followed by hand: the root splits in two, each of these in two, the leaves 1, 3, 5 and 11.
#include "engine/advantages/tree.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/advantages/group.h"

namespace thalweg {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const std::vector<int64_t> kAbove = {0, 0, 1, 1};  // of depth 1, of each leaf
constexpr GroupNorm kPaper{DeviationOver::group, 5.0, /*ddof=*/1, 1e-8, /*least=*/1e-6};

at::Tensor rewards(std::vector<double> values) {
  return at::tensor(values, at::kDouble);
}

std::vector<double> listed(const at::Tensor& values) {
  const auto v = values.to(at::kDouble).contiguous();
  return {v.const_data_ptr<double>(), v.const_data_ptr<double>() + v.numel()};
}

GroupAdvantages advantages(const NodeValues& nodes) {
  return group_advantages(nodes.values, nodes.valid,
                          std::vector<int64_t>(static_cast<size_t>(nodes.values.numel()), 0), kPaper);
}

// Means 2 and 8; their deviation, of one less than two, is 3 sqrt 2.
TEST(TreeAdvantages, OfAHandTree) {
  const auto leaves = rewards({1, 3, 5, 11});
  const auto all = at::ones({4}, at::kBool);
  const auto nodes = node_means(leaves, all, kAbove, 2);
  EXPECT_EQ(listed(nodes.values), (std::vector<double>{2, 8}));
  const auto depth_1 = listed(advantages(nodes).values_B);
  EXPECT_NEAR(depth_1[0], -std::sqrt(0.5), 1e-8);
  EXPECT_NEAR(depth_1[1], std::sqrt(0.5), 1e-8);
  // The leaves are compared with all of their depth: mean 5, squares 16, 4, 0 and 36.
  const auto depth_2 = listed(advantages({leaves, all}).values_B);
  const double std = std::sqrt(56.0 / 3.0);
  for (size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(depth_2[i], (std::vector<double>{-4, -2, 0, 6})[i] / std, 1e-8) << i;
  // A depth of one node has nothing to compare it with.
  const auto root = advantages(node_means(leaves, all, {0, 0, 0, 0}, 1));
  EXPECT_FALSE(root.used_B.any().item<bool>());
}

TEST(TreeAdvantages, MaskedLeavesAreInNoMean) {
  const auto valid = at::tensor({1, 0, 0, 0}, at::kLong).to(at::kBool);
  for (const double masked : {0.0, 1e9, kNan}) {
    const auto nodes = node_means(rewards({1, masked, masked, masked}), valid, kAbove, 2);
    EXPECT_EQ(nodes.values[0].item<double>(), 1.0);
    EXPECT_TRUE(std::isnan(nodes.values[1].item<double>()));
    EXPECT_EQ(listed(nodes.valid), (std::vector<double>{1, 0}));
    EXPECT_FALSE(advantages(nodes).used_B.any().item<bool>());
  }
}

TEST(TreeAdvantages, ColumnsAndLeavesBelowNoNode) {
  const auto values = at::tensor({1.0, 10.0, 3.0, kNan, 5.0, 50.0}, at::kDouble).view({3, 2});
  const auto nodes = node_means(values, values.isfinite(), {1, 1, -1}, 2);
  EXPECT_EQ(listed(nodes.valid), (std::vector<double>{0, 0, 1, 1}));
  EXPECT_EQ(nodes.values[1][0].item<double>(), 2.0);
  EXPECT_EQ(nodes.values[1][1].item<double>(), 10.0);
}

TEST(TreeAdvantages, ASpreadOfRoundingIsNone) {
  const auto all = at::ones({2}, at::kBool);
  const auto near = advantages({rewards({0.5, 0.5 + 1e-7}), all});
  EXPECT_EQ(listed(near.values_B), (std::vector<double>{0, 0}));
  EXPECT_TRUE(near.used_B.all().item<bool>());
  EXPECT_NEAR(listed(advantages({rewards({0.5, 0.5 + 1e-5}), all}).values_B)[1], std::sqrt(0.5), 1e-2);
}

TEST(TreePruning, KeepsTheBestChildOfEachParent) {
  const auto valid = at::tensor({1, 1, 0, 1, 0, 0, 1, 1}, at::kLong).to(at::kBool);
  const auto kept = best_children(rewards({1, 2, 9, 0, kNan, 7, 4, 4}), valid, {0, 0, 1, 1, 2, 2, 3, 3});
  EXPECT_EQ(kept, (std::vector<bool>{0, 1, 0, 1, 0, 0, 1, 0}));
}

TEST(TreePruning, KeepsTheExtremesOfEachGroup) {
  const auto all = at::ones({6}, at::kBool);
  const auto r = rewards({5, 1, 4, 2, 3, 0});
  EXPECT_EQ(extreme_leaves(r, all, {0, 0, 0, 0, 0, 0}, 0.5), (std::vector<bool>{1, 1, 0, 0, 0, 1}));
  EXPECT_EQ(extreme_leaves(r, all, {0, 0, 0, 0, 0, 0}, 0.01), (std::vector<bool>{1, 0, 0, 0, 0, 1}));
  EXPECT_EQ(extreme_leaves(r, all, {0, 0, 0, 0, 0, 0}, 1.0), std::vector<bool>(6, true));
  EXPECT_EQ(extreme_leaves(r, all, {0, 0, 0, 1, 1, 1}, 0.7), (std::vector<bool>{1, 1, 0, 0, 1, 1}));
  const auto one = at::tensor({0, 0, 1, 0, 0, 0}, at::kLong).to(at::kBool);
  EXPECT_EQ(extreme_leaves(r, one, {0, 0, 0, 0, 0, 0}, 0.5), (std::vector<bool>{0, 0, 1, 0, 0, 0}));
}

}  // namespace
}  // namespace thalweg
