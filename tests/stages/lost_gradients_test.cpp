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
  std::vector<at::Tensor> inner, outer;
  const auto root = watching_gradients(
      x,
      [&](const at::Tensor& y) {
        return watching_gradients(
            y, [](const at::Tensor& z) { return z.sqrt(); },
            [&](const at::Tensor& lost_B) { inner.push_back(lost_B); });
      },
      [&](const at::Tensor& lost_B) { outer.push_back(lost_B); });
  EXPECT_TRUE(at::equal(root, x.detach().sqrt()));
  const auto gradient = torch::autograd::grad({root.sum()}, {x}).front();
  EXPECT_TRUE(at::equal(gradient.isfinite().squeeze(1), at::tensor({1, 0, 1}).to(at::kBool)));
  const auto second = at::tensor({0, 1, 0}).to(at::kBool);
  for (const auto& lost : {inner, outer}) {  // it is the same function
    ASSERT_EQ(lost.size(), 1u);
    EXPECT_TRUE(at::equal(lost.front(), second));
  }
}

TEST(LostGradients, WhatComesWithoutOneIsSomebodyElses) {
  const auto x = at::ones({2, 3}).set_requires_grad(true);
  int64_t lost = 0;
  const auto y = watching_gradients(
      x, [](const at::Tensor& z) { return 2 * z; },
      [&](const at::Tensor& lost_B) { lost += lost_B.sum().item<int64_t>(); });
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
