#include "pipelines/steering/lost_gradients.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

namespace thalweg::testing {
namespace {

TEST(LostGradients, AreCountedWhereTheyGetLost) {
  // The slope of the root is infinite at 0.
  const auto x = at::tensor({4.0, 0.0, 9.0}).view({3, 1}).set_requires_grad(true);
  std::vector<int64_t> inner, outer;
  const auto root = watching_gradients(
      x,
      [&](const at::Tensor& y) {
        return watching_gradients(
            y, [](const at::Tensor& z) { return z.sqrt(); }, [&](int64_t n) { inner.push_back(n); });
      },
      [&](int64_t n) { outer.push_back(n); });
  EXPECT_TRUE(at::equal(root, x.detach().sqrt()));
  const auto gradient = torch::autograd::grad({root.sum()}, {x}).front();
  EXPECT_TRUE(at::equal(gradient.isfinite().squeeze(1), at::tensor({1, 0, 1}).to(at::kBool)));
  EXPECT_EQ(inner, std::vector<int64_t>{1});
  EXPECT_EQ(outer, std::vector<int64_t>{1});  // it is the same function
}

TEST(LostGradients, WhatComesWithoutOneIsSomebodyElses) {
  const auto x = at::ones({2, 3}).set_requires_grad(true);
  int64_t lost = 0;
  const auto y = watching_gradients(
      x, [](const at::Tensor& z) { return 2 * z; }, [&](int64_t n) { lost += n; });
  const auto came = at::tensor({1.0f, NAN, 1.0f, 1.0f, 1.0f, 1.0f}).view({2, 3});
  const at::Tensor gradient = torch::autograd::grad({y}, {x}, {came}).front();
  EXPECT_EQ(lost, 0);
  EXPECT_TRUE(gradient[1].eq(2).all().item<bool>());
  EXPECT_TRUE(at::equal(finite_samples(gradient), at::tensor({0, 1}).to(at::kBool)));
  // Without gradients nothing is watched.
  EXPECT_FALSE(watching_gradients(x.detach(), [](const at::Tensor& z) { return z + 1; }, {}).requires_grad());
}

}  // namespace
}  // namespace thalweg::testing
