#include "engine/losses/soft_value.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "engine/losses/bradley_terry.h"
#include "tests/losses/finite_difference.h"

namespace thalweg {
namespace {

at::Tensor numbers(at::ArrayRef<double> values) {
  return at::tensor(values, at::kDouble);
}

TEST(SoftValue, ByHand) {
  const auto loss_B = soft_value_loss(numbers({0.0, 1.0, -2.0}), numbers({0.0, 0.0, -2.0}));
  EXPECT_NEAR(loss_B[0].item<double>(), 0.0, 1e-15);
  const double e = std::exp(1.0);
  EXPECT_NEAR(loss_B[1].item<double>(), (1.0 + e) * std::log(2.0) - std::log1p(e) - e * std::log1p(1.0 / e),
              1e-14);
  EXPECT_NEAR(loss_B[2].item<double>(), 0.0, 1e-15);
}

TEST(SoftValue, GradientsAgreeWithDifferences) {
  const auto a = numbers({0.3, -1.0, 2.0}), u = numbers({0.1, 0.4, 1.0}).requires_grad_();
  const auto gradient = torch::autograd::grad({soft_value_loss(a, u).sum()}, {u})[0];
  const auto expected =
      finite_difference([&](const at::Tensor& x) { return soft_value_loss(a, x).sum(); }, u);
  EXPECT_TRUE(at::allclose(gradient, expected, 0, 1e-8));
  EXPECT_FALSE(soft_value_loss(a.clone().requires_grad_(), u.detach()).requires_grad());
}

// States 0, 1, 2 with rewards r and probabilities p given the state: gradient descent on one u a state ends
// at log E[e^{r/tau} | state], whatever r is shifted by.
TEST(SoftValue, TheMinimiserIsLogOfTheMeanExponential) {
  const auto p = numbers({0.9, 0.05, 0.05, 0.2, 0.5, 0.3, 1.0, 0.0, 0.0}).view({3, 3});
  const auto r = numbers({0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.25, 0.0, 0.0}).view({3, 3});
  for (const double tau : {0.1, 1.0})
    for (const double shift : {0.0, 5.0}) {
      const auto raw = (r + shift) / tau;
      const auto a = raw - at::logsumexp(raw + at::log(p / 3.0), at::IntArrayRef{0, 1});
      const auto exact = at::logsumexp(a + at::log(p), 1);
      auto u = at::zeros({3}, at::kDouble);
      for (int i = 0; i < 4000; ++i) {
        auto leaf = u.clone().requires_grad_();
        const auto loss = (p * soft_value_loss(a, leaf.unsqueeze(1).expand({3, 3}))).sum();
        u = u - 1.0 * torch::autograd::grad({loss}, {leaf})[0];
      }
      EXPECT_TRUE(at::allclose(u, exact, 0, 1e-6)) << tau << " " << shift;
    }
}

TEST(BradleyTerry, SaysTheOrderAndNothingOfTies) {
  const auto first = numbers({1.0, 0.0, 0.5}), second = numbers({0.0, 1.0, 0.5});
  const auto u_first = numbers({0.3, 0.3, 0.3}).requires_grad_(), u_second = numbers({-0.2, -0.2, -0.2});
  const auto loss_P = bradley_terry_loss(first, second, u_first, u_second);
  EXPECT_NEAR(loss_P[0].item<double>(), std::log1p(std::exp(-0.5)), 1e-12);
  EXPECT_NEAR(loss_P[1].item<double>(), std::log1p(std::exp(0.5)), 1e-12);
  EXPECT_EQ(loss_P[2].item<double>(), 0.0);
  const auto gradient = torch::autograd::grad({loss_P.sum()}, {u_first})[0];
  EXPECT_LT(gradient[0].item<double>(), 0.0);
  EXPECT_GT(gradient[1].item<double>(), 0.0);
  EXPECT_EQ(gradient[2].item<double>(), 0.0);
}

}  // namespace
}  // namespace thalweg
