#include "engine/losses/centered_reward.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/losses/finite_difference.h"
#include "tests/samplers/analytic.h"

namespace thalweg {
namespace {

class CrdLoss : public ::testing::Test {
 protected:
  at::Tensor weight(const at::Tensor& v) const { return (v - target_).abs().flatten(1).mean(1); }

  // The weights carry no gradient: here they are those of the starting point.
  at::Tensor implicit_reward(const at::Tensor& v) const {
    const auto error = [&](const at::Tensor& u) { return (u - target_).square().flatten(1).mean(1); };
    return -(error(v) / weight(v_) - error(v_old_) / weight(v_old_));
  }

  const at::Tensor target_ = random_latents(1, at::kDouble), v_ = random_latents(2, at::kDouble),
                   v_old_ = random_latents(3, at::kDouble);
  const at::Tensor r_ = at::tensor({0.9, 0.2, 0.45, 0.6}, at::kDouble);
  const at::Tensor all_ = at::ones({4}, at::kBool);
};

TEST_F(CrdLoss, ImplicitRewardIsItsFormula) {
  EXPECT_TRUE(at::allclose(crd_implicit_reward(v_, v_old_, target_), implicit_reward(v_), 1e-13, 0.0));
  EXPECT_EQ(crd_implicit_reward(v_, v_, target_).abs().max().item<double>(), 0.0);
  // Better matched than before: likelier.
  EXPECT_GT(crd_implicit_reward(0.5 * (v_ + target_), v_, target_).min().item<double>(), 0.0);
}

TEST_F(CrdLoss, OldVelocityIsAConstantAndAPerfectMatchIsFinite) {
  const auto v = target_.clone().requires_grad_(), old = v_old_.clone().requires_grad_();
  const auto gradients = torch::autograd::grad({crd_implicit_reward(v, old, target_).sum()}, {v, old}, {},
                                               std::nullopt, false, true);
  EXPECT_TRUE(gradients[0].isfinite().all().item<bool>());
  EXPECT_FALSE(gradients[1].defined());
}

TEST_F(CrdLoss, ResidualsAreCentredOverWhatCounts) {
  const auto r_th = at::tensor({0.1, -0.3, 0.2, 0.4}, at::kDouble).unsqueeze(0);
  const auto used = at::tensor({1, 1, 0, 1}, at::kLong).to(at::kBool);
  const auto residual = crd_residual(r_th, r_, used, 2.0);
  // 2 r_th: 0.2, -0.6, 0.8 about 2/15; r: 0.9, 0.2, 0.6 about 17/30.
  const double c = 2.0 / 15.0 - 17.0 / 30.0;
  const auto expected = at::tensor({-0.7 - c, -0.8 - c, 0.0, 0.2 - c}, at::kDouble);
  EXPECT_TRUE(at::allclose(residual[0], expected, 0.0, 1e-14)) << residual[0];
  EXPECT_NEAR(residual.sum().item<double>(), 0.0, 1e-14);
  EXPECT_EQ(crd_residual(r_th, r_, at::zeros_like(used), 2.0).abs().max().item<double>(), 0.0);
}

// A residual that does not count may be anything.
TEST_F(CrdLoss, WhatDoesNotCountMayBeNoNumber) {
  auto r_th = at::zeros({1, 4}, at::kDouble);
  r_th[0][2] = std::numeric_limits<double>::quiet_NaN();
  const auto used = at::tensor({1, 1, 0, 1}, at::kLong).to(at::kBool);
  EXPECT_TRUE(crd_residual(r_th, r_, used, 1.0).isfinite().all().item<bool>());
}

// Sample by sample with constant residuals, and as the paper writes it: the means of all samples inside.
TEST_F(CrdLoss, GradientIsThatOfTheCoupledLoss) {
  const double scale = 5.0;
  for (const double beta : {1.0, 0.3}) {
    const auto coupled = [&](const at::Tensor& v) {
      const auto r_th = implicit_reward(v);
      return (beta * (r_th - r_th.mean()) - (r_ - r_.mean())).square().mean() * (scale / beta);
    };
    const auto v = v_.clone().requires_grad_();
    const auto r_th = crd_implicit_reward(v, v_old_, target_);
    const auto residual = crd_residual(r_th.unsqueeze(0), r_, all_, beta)[0];
    EXPECT_FALSE(residual.requires_grad());
    const auto loss = crd_loss(r_th, residual, beta, scale).mean();
    EXPECT_NEAR(loss.item<double>(), coupled(v_).item<double>(), 1e-12);
    const auto exact = torch::autograd::grad({loss}, {v})[0];
    EXPECT_TRUE(at::allclose(exact, finite_difference(coupled, v_), 1e-5, 1e-8));
    EXPECT_GT(exact.abs().max().item<double>(), 1e-3);
  }
}

}  // namespace
}  // namespace thalweg
