#include "engine/losses/distribution_matching.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "tests/losses/finite_difference.h"

namespace thalweg {
namespace {

const std::vector<double> kStates = {0.0, 0.25, 0.5, 0.75};

at::Tensor level(double s, const at::Tensor& tau_B) {
  return at::full_like(tau_B, s);
}

at::Tensor taus_above(double s) {
  return s + (1.0 - s) * at::tensor({0.01, 0.2, 0.5, 0.9, 1.0}, at::kDouble);
}

// Of Gaussian data of variance V: al^2 Var_s + be^2 = Var_tau.
TEST(ConditionalPath, KeepsTheMarginals) {
  const double V = 0.25;
  const auto variance = [&](const at::Tensor& t) { return (1.0 - t).square() * V + t.square(); };
  for (const double s : kStates) {
    const auto tau = taus_above(s);
    const auto [al, be] = conditional_path(tau, level(s, tau));
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
      const auto [al, be] = conditional_path(at_tau, level(s, at_tau));
      return al * x + be * e;
    };
    const double h = 1e-6;
    const auto slope = (state(tau + h) - state(tau - h)) / (2.0 * h);
    EXPECT_TRUE(at::allclose(conditional_velocity(x, e, tau, level(s, tau)), slope, 1e-7, 1e-7)) << s;
  }
}

TEST(ConditionalPath, OfCleanLatentsIsTheForwardPathToTheBit) {
  const auto tau = at::linspace(1e-3, 1.0, 100'003, at::kDouble);
  const auto [al, be] = conditional_path(tau, level(0.0, tau));
  EXPECT_TRUE(at::equal(al, 1.0 - tau));
  EXPECT_TRUE(at::equal(be, tau));
}

// From clean latents it is e - x_0.
TEST(ConditionalVelocity, OfCleanLatentsIsTheOneToMatch) {
  const auto x = at::linspace(-2.0, 2.0, 5, at::kDouble), e = at::linspace(1.0, -0.7, 5, at::kDouble);
  EXPECT_TRUE(at::allclose(conditional_velocity(x, e, taus_above(0.0), level(0.0, x)), e - x, 0.0, 1e-12));
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

// The mean of x_0 given x at level t, of data N(mean, deviation^2).
at::Tensor estimate(const at::Tensor& x, double t, double mean, double deviation) {
  const double v = (1 - t) * (1 - t) * deviation * deviation + t * t;
  return mean + (1 - t) * deviation * deviation / v * (x - (1 - t) * mean);
}

struct Generator {
  double scale = 1.2, shift = -0.4;
};

// A linear generator A z + b that walks along `direction` at its own states noised again, without the
// weight of each sample.
Generator walked(
    const std::function<at::Tensor(const at::Tensor& x, double t, const Generator&)>& direction) {
  Generator g;
  const auto z = at::linspace(-2.5, 2.5, 101, at::kDouble).view({-1, 1});
  const auto weight = (-0.5 * z.square()).exp() / (-0.5 * z.square()).exp().sum();
  for (int i = 0; i < 4000; ++i) {
    double of_scale = 0.0, of_shift = 0.0;
    for (const double t : {0.2, 0.5, 0.8})
      for (const double e : {-1.0, 1.0}) {
        const auto d = direction((1 - t) * (g.scale * z + g.shift) + t * e, t, g);
        of_scale += (weight * d * z).sum().item<double>();
        of_shift += (weight * d).sum().item<double>();
      }
    g.scale += 0.02 * of_scale;
    g.shift += 0.02 * of_shift;
  }
  return g;
}

constexpr double kMean = 0.7, kDeviation = 0.5;

// T17: of N(0.7, 0.5^2), with an exact critic, the target is where it stops, and nothing else.
TEST(DistributionMatching, HasTheTargetAsItsFixedPoint) {
  const auto g = walked([](const at::Tensor& x, double t, const Generator& now) {
    return estimate(x, t, kMean, kDeviation) - estimate(x, t, now.shift, std::abs(now.scale));
  });
  EXPECT_NEAR(std::abs(g.scale), kDeviation, 0.01);
  EXPECT_NEAR(g.shift, kMean, 0.01);
}

// T17: with w (mu_phi - mu_ref) beside it, of a surrogate that is the target's tilt e^{c x}, it stops at the
// tilt e^{w c x}: N(m + w c s^2, s^2).
TEST(DistributionMatching, WithARewardTermHasTheTiltAsItsFixedPoint) {
  const double c = 1.2, w = 0.5, tilted = kMean + c * kDeviation * kDeviation;
  const auto g = walked([&](const at::Tensor& x, double t, const Generator& now) {
    const auto reference = estimate(x, t, kMean, kDeviation);
    return reference - estimate(x, t, now.shift, std::abs(now.scale)) +
           w * (estimate(x, t, tilted, kDeviation) - reference);
  });
  EXPECT_NEAR(std::abs(g.scale), kDeviation, 0.01);
  EXPECT_NEAR(g.shift, kMean + w * c * kDeviation * kDeviation, 0.01);
}

}  // namespace
}  // namespace thalweg
