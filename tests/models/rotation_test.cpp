// Rotary embedding: angles by hand, and that products of queries and keys know distances alone.
#include "engine/models/rotation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace thalweg {
namespace {

TEST(Rotation, HasTheAnglesOfItsAxes) {
  const auto r = rotation_of(at::tensor({3, 5}, at::kLong).view({1, 2}), {2, 4}, 100.0, at::kCPU);
  ASSERT_EQ(r.cos_LP.sizes(), (std::vector<int64_t>{1, 3}));
  const double angles[] = {3.0, 5.0, 0.5};  // 3, then 5 and 5 / sqrt(100)
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(r.cos_LP[0][i].item<double>(), std::cos(angles[i]), 1e-7);
    EXPECT_NEAR(r.sin_LP[0][i].item<double>(), std::sin(angles[i]), 1e-7);
  }
}

TEST(Rotation, OrdersAGridByFramesRowsColumns) {
  const auto p = grid_positions(2, 2, 3);
  ASSERT_EQ(p.sizes(), (std::vector<int64_t>{12, 3}));
  EXPECT_TRUE(at::equal(p[4], at::tensor({0, 1, 1}, at::kLong)));
  EXPECT_TRUE(at::equal(p[6], at::tensor({1, 0, 0}, at::kLong)));
}

TEST(Rotation, ProductsKnowDistancesAlone) {
  const auto q = at::randn({1, 1, 1, 8}, at::kDouble), k = at::randn({1, 1, 1, 8}, at::kDouble);
  const auto product = [&](int64_t a, int64_t b) {
    const auto at_position = [](const at::Tensor& x, int64_t p) {
      return rotated(x, rotation_of(at::tensor({p}, at::kLong).view({1, 1}), {8}, 10000.0, at::kCPU));
    };
    return (at_position(q, a) * at_position(k, b)).sum().item<double>();
  };
  EXPECT_NEAR(product(7, 3), product(104, 100), 1e-5);
  EXPECT_NEAR(product(0, 0), (q * k).sum().item<double>(), 1e-12);
  EXPECT_GT(std::abs(product(7, 3) - product(7, 4)), 1e-6);
}

TEST(Rotation, TurnsPairsAsComplexNumbers) {
  const auto x = at::randn({2, 3, 2, 6});
  const auto r = rotation_of(grid_positions(1, 1, 3).slice(1, 2), {6}, 50.0, at::kCPU);
  const auto y = rotated(x, r);
  for (int64_t l = 0; l < 3; ++l)
    for (int64_t p = 0; p < 3; ++p) {
      const double a = static_cast<double>(l) * std::pow(50.0, -static_cast<double>(p) / 3.0);
      const double re = x[1][l][0][2 * p].item<double>(), im = x[1][l][0][2 * p + 1].item<double>();
      EXPECT_NEAR(y[1][l][0][2 * p].item<double>(), re * std::cos(a) - im * std::sin(a), 1e-6);
      EXPECT_NEAR(y[1][l][0][2 * p + 1].item<double>(), re * std::sin(a) + im * std::cos(a), 1e-6);
    }
}

TEST(RotationCache, ComputesAShapeOnce) {
  const RotationCache cache;
  const auto copy = cache;
  int made = 0;
  const auto make = [&] {
    ++made;
    return rotation_of(grid_positions(1, 2, 2).slice(1, 1), {2, 2}, 10.0, at::kCPU);
  };
  const auto first = cache.get({2, 2}, at::kCPU, make), second = copy.get({2, 2}, at::kCPU, make);
  EXPECT_EQ(made, 1);
  EXPECT_TRUE(first.cos_LP.is_same(second.cos_LP));
  cache.get({2, 3}, at::kCPU, make);
  EXPECT_EQ(made, 2);
}

}  // namespace
}  // namespace thalweg
