#include "engine/losses/rwr.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

namespace thalweg {
namespace {

at::Tensor all(int64_t n) {
  return at::ones({n}, at::kBool);
}

TEST(RwrWeights, AreTheExponentialsWithMeanOne) {
  const auto r = at::tensor({0.0, 1.0, 0.5}, at::kDouble);
  const auto [w, ess] = rwr_weights(r, all(3), 0.5);
  const double a = 1.0, b = std::exp(2.0), c = std::exp(1.0), mean = (a + b + c) / 3.0;
  EXPECT_TRUE(at::allclose(w, at::tensor({a / mean, b / mean, c / mean}, at::kDouble), 0.0, 1e-12));
  EXPECT_NEAR(ess, (a + b + c) * (a + b + c) / (3.0 * (a * a + b * b + c * c)), 1e-12);
}

TEST(RwrWeights, EqualRewardsAreAllUsed) {
  const auto [w, ess] = rwr_weights(at::full({4}, -3.0, at::kDouble), all(4), 1e-3);
  EXPECT_TRUE(at::allclose(w, at::ones({4}, at::kDouble), 0.0, 1e-15));
  EXPECT_NEAR(ess, 1.0, 1e-15);
}

// A small temperature leaves the best sample alone, and nothing overflows.
TEST(RwrWeights, OfALowTemperatureIsTheBest) {
  const auto [w, ess] = rwr_weights(at::tensor({1e6, 0.0, 1.0, -1e6}, at::kDouble), all(4), 1e-3);
  EXPECT_TRUE(at::equal(w, at::tensor({4.0, 0.0, 0.0, 0.0}, at::kDouble)));
  EXPECT_NEAR(ess, 0.25, 1e-15);
}

TEST(RwrWeights, MaskedSamplesCountForNothing) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const auto used = at::tensor({1, 0, 1, 0}, at::kLong).to(at::kBool);
  const auto [w, ess] = rwr_weights(at::tensor({0.0, kNan, 1.0, 9.0}, at::kDouble), used, 1.0);
  const auto [w2, ess2] = rwr_weights(at::tensor({0.0, 1.0}, at::kDouble), all(2), 1.0);
  EXPECT_TRUE(at::equal(w.index_select(0, at::tensor({0, 2}, at::kLong)), w2));
  EXPECT_EQ(w[1].item<double>(), 0.0);
  EXPECT_EQ(w[3].item<double>(), 0.0);
  EXPECT_EQ(ess, ess2);
  const auto none = rwr_weights(at::full({2}, kNan, at::kDouble), at::zeros({2}, at::kBool), 1.0);
  EXPECT_TRUE(at::equal(none.weight_B, at::zeros({2}, at::kDouble)));
  EXPECT_EQ(none.ess, 0.0);
}

// Data: a mixture of two Gaussians, weights (.6, .4), means (-1.5, 1), deviations (.5, .35); r = 1.2 x_0,
// beta 1. Its tilt is again a mixture, whose velocity at t = 1/2 is known: v* = E[e - x_0 | x_t].
double density(double x0) {
  const auto normal = [x0](double w, double m, double s) {
    return w / s * std::exp(-0.5 * (x0 - m) * (x0 - m) / (s * s));
  };
  return normal(0.6, -1.5, 0.5) + normal(0.4, 1.0, 0.35);
}

double tilted_velocity(double x) {
  constexpr double t = 0.5, c = 1.2, w[] = {0.6, 0.4}, m[] = {-1.5, 1.0}, s[] = {0.5, 0.35};
  double sum = 0.0, x0 = 0.0;
  for (int k = 0; k < 2; ++k) {
    const double weight = w[k] * std::exp(c * m[k] + c * c * s[k] * s[k] / 2.0),
                 mean = m[k] + c * s[k] * s[k];
    const double V = (1 - t) * (1 - t) * s[k] * s[k] + t * t, d = x - (1 - t) * mean;
    const double of_x = weight / std::sqrt(V) * std::exp(-0.5 * d * d / V);
    sum += of_x;
    x0 += of_x * (mean + (1 - t) * s[k] * s[k] / V * d);
  }
  x0 /= sum;
  return (x - (1 - t) * x0) / t - x0;
}

// The weighted matching loss at one x_t, over a fine grid of x_0: a quadratic in v, whose minimum is exact.
TEST(Rwr, TheMinimiserIsTheVelocityOfTheTiltedDensity) {
  constexpr double t = 0.5;
  const auto x0 = at::linspace(-6.0, 6.0, 4001, at::kDouble);
  const auto w = rwr_weights(1.2 * x0, all(4001), 1.0).weight_B;
  auto p = at::empty_like(x0);
  for (int64_t i = 0; i < x0.numel(); ++i) p[i] = density(x0[i].item<double>());
  for (const auto& [x, expected] : {std::pair{-0.5, -1.279}, {0.2, -1.597}, {0.8, -0.779}}) {
    const auto e = (x - (1 - t) * x0) / t;
    const auto of_pair = p * (-0.5 * e.square()).exp();  // up to a constant
    const double closed = tilted_velocity(x);
    EXPECT_NEAR(closed, expected, 1e-3);
    const auto v = at::full({1}, closed, at::kDouble).requires_grad_();
    const auto loss = [&](const at::Tensor& of_v) {
      return (of_pair * w * (of_v - (e - x0)).square()).sum() / (of_pair * w).sum();
    };
    EXPECT_NEAR(torch::autograd::grad({loss(v)}, {v})[0].item<double>(), 0.0, 1e-9);
    EXPECT_LT(loss(v.detach()).item<double>(), loss(v.detach() + 0.01).item<double>());
    // Without the weights it is another one.
    const double plain = ((of_pair * (e - x0)).sum() / of_pair.sum()).item<double>();
    EXPECT_GT(std::fabs(plain - closed), 0.1);
  }
}

}  // namespace
}  // namespace thalweg
