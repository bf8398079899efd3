#include "engine/losses/distribution_matching.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/losses/finite_difference.h"

namespace thalweg {
namespace {

const std::vector<double> kStates = {0.0, 0.25, 0.5, 0.75};

at::Tensor taus_above(double s) {
  return s + (1.0 - s) * at::tensor({0.01, 0.2, 0.5, 0.9, 1.0}, at::kDouble);
}

// Of Gaussian data of variance V: al^2 Var_s + be^2 = Var_tau.
TEST(ConditionalPath, KeepsTheMarginals) {
  const double V = 0.25;
  const auto variance = [&](const at::Tensor& t) { return (1.0 - t).square() * V + t.square(); };
  for (const double s : kStates) {
    const auto tau = taus_above(s);
    const auto [al, be] = conditional_path(tau, s);
    const auto at_s = variance(at::full_like(tau, s));
    EXPECT_TRUE(at::allclose(al.square() * at_s + be.square(), variance(tau), 0.0, 1e-12)) << s;
    EXPECT_TRUE(at::allclose(al * (1.0 - s), 1.0 - tau, 0.0, 1e-15));  // and the means
  }
}

TEST(ConditionalVelocity, IsTheDerivativeOfThePath) {
  const auto x = at::linspace(-2.0, 2.0, 5, at::kDouble), e = at::linspace(1.0, -0.7, 5, at::kDouble);
  for (const double s : kStates) {
    const auto tau = s + (1.0 - s) * at::tensor({0.1, 0.2, 0.5, 0.7, 0.9}, at::kDouble);
    const auto state = [&](const at::Tensor& at_tau) {
      const auto [al, be] = conditional_path(at_tau, s);
      return al * x + be * e;
    };
    const double h = 1e-6;
    const auto slope = (state(tau + h) - state(tau - h)) / (2.0 * h);
    EXPECT_TRUE(at::allclose(conditional_velocity(x, e, tau, s), slope, 1e-7, 1e-7)) << s;
  }
}

// From clean latents it is e - x_0.
TEST(ConditionalVelocity, OfCleanLatentsIsTheOneToMatch) {
  const auto x = at::linspace(-2.0, 2.0, 5, at::kDouble), e = at::linspace(1.0, -0.7, 5, at::kDouble);
  EXPECT_TRUE(at::allclose(conditional_velocity(x, e, taus_above(0.0), 0.0), e - x, 0.0, 1e-12));
}

at::Tensor gradient(const at::Tensor& clean, const at::Tensor& real, const at::Tensor& fake, double huber) {
  const auto x = clean.clone().requires_grad_();
  return torch::autograd::grad({distribution_matching_loss(x, real, fake, huber).sum()}, {x})[0];
}

// 2 (mu_fake - mu_real) / (mean |x_0m - mu_real| times the number of elements).
TEST(DistributionMatchingLoss, LeadsFromTheCriticsEstimateToTheTeachers) {
  const auto pair_of = [](const std::vector<double>& x) { return at::tensor(x, at::kDouble).view({2, 2}); };
  const auto clean = pair_of({1.0, 2.0, 0.0, -1.0}), real = pair_of({2.0, 0.0, 0.5, -1.5}),
             fake = pair_of({1.5, 1.0, 0.0, -1.5});
  const auto hand = pair_of({2.0 * -0.5 / (1.5 * 2), 2.0 * 1.0 / (1.5 * 2), 2.0 * -0.5 / (0.5 * 2), 0.0});
  EXPECT_TRUE(at::allclose(gradient(clean, real, fake, 0.0), hand, 0.0, 1e-14));
  EXPECT_TRUE(at::equal(gradient(clean, fake, fake, 0.0), at::zeros_like(clean)));  // of one distribution
}

TEST(DistributionMatchingLoss, CountsLargeErrorsLinearly) {
  const auto clean = at::zeros({1, 4}, at::kDouble), real = at::ones({1, 4}, at::kDouble);
  const auto fake = real - at::tensor({100.0, -1e-6, 0.0, 1.0}, at::kDouble).view({1, 4});
  const auto g = gradient(clean, real, fake, 1e-3);
  const auto d = fake - real;
  EXPECT_TRUE(at::allclose(g, d / (d.square() + 1e-6).sqrt() / 4.0, 0.0, 1e-12));
}

// T17: a linear generator A z + b against N(0.7, 0.5^2), the critic exact, stops there and nowhere else.
TEST(DistributionMatching, HasTheTargetAsItsFixedPoint) {
  const double m = 0.7, s = 0.5;
  double a = 1.2, b = -0.4;
  const auto z = at::linspace(-2.5, 2.5, 101, at::kDouble).view({-1, 1});
  const auto weight = (-0.5 * z.square()).exp() / (-0.5 * z.square()).exp().sum();
  const auto estimate = [](const at::Tensor& x, double t, double mean, double deviation) {
    const double v = (1 - t) * (1 - t) * deviation * deviation + t * t;
    return mean + (1 - t) * deviation * deviation / v * (x - (1 - t) * mean);
  };
  for (int i = 0; i < 4000; ++i) {
    double slope_a = 0.0, slope_b = 0.0;
    for (const double t : {0.2, 0.5, 0.8})
      for (const double e : {-1.0, 1.0}) {
        const auto clean = a * z + b, x = (1 - t) * clean + t * e;
        const auto d = estimate(x, t, b, std::abs(a)) - estimate(x, t, m, s);  // without the sample's weight
        slope_a += (weight * d * z).sum().item<double>();
        slope_b += (weight * d).sum().item<double>();
      }
    a -= 0.02 * slope_a;
    b -= 0.02 * slope_b;
  }
  EXPECT_NEAR(std::abs(a), s, 0.01);
  EXPECT_NEAR(b, m, 0.01);
}

}  // namespace
}  // namespace thalweg
