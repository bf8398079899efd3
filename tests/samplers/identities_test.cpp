// The laboratory against itself, quadrature and the numbers of steering_and_distillation.md 12 (T1, T12).
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "engine/core/rng.h"
#include "samplers/flow_algebra.h"
#include "samplers/kernel.h"
#include "tests/samplers/laboratory.h"

namespace thalweg {
namespace {

constexpr double kLambda = 1.2;

at::Tensor places() {
  return at::linspace(-4.0, 3.0, 57, at::kDouble);
}

at::Tensor at_t(double t) {
  return at::full({}, t, at::kDouble);
}

double largest(const at::Tensor& difference) {
  return difference.abs().max().item<double>();
}

/// E[f(x_0) | x_t = x] by the trapezoidal rule over x_0.
template <class F>
at::Tensor by_quadrature(const Mixture& m, const at::Tensor& x, double t, const F& f) {
  const auto law = mixture_law(m);
  const auto x0 = at::linspace(-6.0, 5.0, 20001, at::kDouble);
  const auto prior = mixture_log_density(law, x0, at_t(0.0));
  const auto log_weight = prior - 0.5 * ((x.unsqueeze(-1) - (1.0 - t) * x0) / t).square();
  return (at::softmax(log_weight, -1) * f(x0, x.unsqueeze(-1))).sum(-1);
}

at::Tensor five(const at::Tensor& x) {
  return x.view({-1, 1, 1, 1, 1});
}

Step step_of(double t, int64_t batch) {
  Step step;
  step.sigma_B = at::full({batch}, t, at::kDouble);
  return step;
}

TEST(Laboratory, VelocityIsThePosteriorMeanOfNoiseMinusData) {
  const auto m = reference_mixture();
  for (const double t : {0.05, 0.3, 0.7, 0.95}) {
    const auto v = mixture_velocity(mixture_law(m), places(), at_t(t));
    const auto expected =
        by_quadrature(m, places(), t, [t](const auto& x0, const auto& x) { return (x - x0) / t; });
    EXPECT_LT(largest(v - expected), 1e-8) << t;
  }
  // No singularity at the ends: at t = 1 x is the noise, at t = 0 the data.
  EXPECT_LT(largest(mixture_velocity(mixture_law(m), places(), at_t(1.0)) - (places() - mean_of(m))), 1e-12);
  EXPECT_LT(largest(mixture_velocity(mixture_law(m), places(), at_t(0.0)) + places()), 1e-12);
}

TEST(Laboratory, PosteriorDrawsFollowThePosterior) {
  const auto m = reference_mixture();
  const auto x = at::tensor({-1.0, 0.1, 0.7}, at::kDouble);
  const int64_t draws = 100000;
  const std::vector<int64_t> slots = {0, 1};
  const auto z = normal_noise(3, Purpose::data, slots, 0, {draws, 3}, at::kDouble);
  const auto uniform = 0.5 * at::erfc(z[0] * -std::sqrt(0.5));
  const auto drawn = posterior_draw(m, x, at_t(0.6), uniform, z[1]);
  const auto mean = by_quadrature(m, x, 0.6, [](const auto& x0, const auto&) { return x0; });
  const auto share =
      by_quadrature(m, x, 0.6, [](const auto& x0, const auto&) { return (x0 > 0).to(at::kDouble); });
  EXPECT_LT(largest(drawn.mean(0) - mean), 0.015);
  EXPECT_LT(largest((drawn > 0).to(at::kDouble).mean(0) - share), 0.008);
  EXPECT_LT(w1(data_draw(m, uniform, z[1]), m), 0.01);
}

TEST(Laboratory, NumbersOfTheReferenceMixture) {
  const auto m = reference_mixture();
  EXPECT_NEAR(mean_of(m), -0.5, 1e-12);
  EXPECT_NEAR(variance_of(m), 1.6990, 5e-5);
  EXPECT_NEAR(probability_above(m), 0.4000, 5e-4);
  const auto tilt = linear_tilt(m, kLambda);
  EXPECT_NEAR(tilt.law.weights[0], 0.0757, 5e-5);
  EXPECT_NEAR(tilt.law.weights[1], 0.9243, 5e-5);
  EXPECT_NEAR(tilt.law.means[0], -1.2, 1e-12);
  EXPECT_NEAR(tilt.law.means[1], 1.147, 1e-12);
  EXPECT_EQ(tilt.law.stds, m.stds);
  EXPECT_NEAR(mean_of(tilt.law), 0.9694, 5e-5);
  EXPECT_NEAR(variance_of(tilt.law), 0.5174, 5e-5);
  EXPECT_NEAR(std::exp(tilt.log_evidence), 1.5692, 5e-5);
  EXPECT_NEAR(indicator_probability(m, 2.0), 0.8312, 5e-4);
  // Between the laws themselves: the mean moves and nothing crosses.
  const auto u = (at::arange(20000, at::kDouble) + 0.5) / 20000.0;
  EXPECT_NEAR(w1(quantile_of(m, u), tilt.law), 1.469, 1e-3);
}

TEST(Laboratory, QuantilesInvertTheDistributionFunction) {
  for (const auto& m :
       {reference_mixture(), gaussian(0.7, 0.5), linear_tilt(reference_mixture(), kLambda).law}) {
    const auto u = at::linspace(0.001, 0.999, 101, at::kDouble);
    EXPECT_LT(largest(cdf_of(m, quantile_of(m, u)) - u), 1e-10);
    EXPECT_LT(w1(quantile_of(m, (at::arange(4000, at::kDouble) + 0.5) / 4000.0), m), 1e-12);
  }
}

TEST(Laboratory, WeightsMakeOneSampleThatOfTheTilt) {
  const auto m = reference_mixture();
  const auto u = (at::arange(40000, at::kDouble) + 0.5) / 40000.0;
  const auto x = quantile_of(m, u);
  EXPECT_LT(w1(x, kLambda * x, linear_tilt(m, kLambda).law), 2e-3);
  EXPECT_GT(w1(x, -kLambda * x, linear_tilt(m, kLambda).law), 1.0);
}

// T1: what section 0 says of clean and noise estimates, scores and log-probabilities.
TEST(Identities, EstimatesScoreAndVelocity) {
  const auto m = reference_mixture();
  const auto law = mixture_law(m);
  const auto x = places();
  for (const double t : {0.05, 0.3, 0.7, 0.95}) {
    const auto v = mixture_velocity(law, x, at_t(t));
    const auto step = step_of(t, x.numel());
    const auto clean = clean_estimate(five(x), five(v), step).flatten();
    const auto noise = noise_estimate(five(x), five(v), step).flatten();
    EXPECT_LT(largest(clean - mixture_clean_mean(law, x, at_t(t))), 1e-9);
    EXPECT_LT(largest(noise - mixture_noise_mean(law, x, at_t(t))), 1e-9);
    EXPECT_LT(largest((1.0 - t) * clean + t * noise - x), 1e-9);
    const auto score = score_of(m, x, at_t(t));
    EXPECT_LT(largest(score + noise / t), 1e-8);
    EXPECT_LT(largest(v + (x + t * score) / (1.0 - t)), 1e-8);
    const auto y = x.clone().requires_grad_();
    const auto slope = torch::autograd::grad({mixture_log_density(law, y, at_t(t)).sum()}, {y})[0];
    EXPECT_LT(largest(score - slope), 1e-8);
  }
}

// T1: v* = v - (t/(1-t)) grad log h_t is the velocity of the tilted law itself.
TEST(Identities, GuidedVelocityIsThatOfTheTiltedLaw) {
  const auto m = reference_mixture();
  const auto tilt = linear_tilt(m, kLambda);
  const auto x = places();
  for (const double t : {0.05, 0.3, 0.7, 0.95}) {
    const auto v = mixture_velocity(mixture_law(m), x, at_t(t));
    const auto target = mixture_velocity(mixture_law(tilt.law), x, at_t(t));
    const auto g = linear_log_h_gradient(m, kLambda, x, at_t(t));
    const auto v_star = guided(five(v), five(g), step_of(t, x.numel())).flatten();
    EXPECT_LT(largest(v_star - target), 1e-8) << t;
    // By finite differences of log h, which is worked out from the posterior instead.
    const double d = 1e-5;
    const auto slope =
        (linear_log_h(m, kLambda, x + d, at_t(t)) - linear_log_h(m, kLambda, x - d, at_t(t))) / (2.0 * d);
    EXPECT_LT(largest(guided(five(v), five(slope), step_of(t, x.numel())).flatten() - target), 1e-4) << t;
    // The wrong coefficient is seen: without 1/(1-t).
    EXPECT_GT(largest(v - t * g - target), 1e-2 * t / (1.0 - t)) << t;
    const auto log_h =
        by_quadrature(m, x, t, [](const auto& x0, const auto&) { return (kLambda * x0).exp(); });
    EXPECT_LT(largest(linear_log_h(m, kLambda, x, at_t(t)) - log_h.log()), 1e-8);
  }
  EXPECT_LT(largest(linear_log_h(m, kLambda, x, at_t(1.0)) - tilt.log_evidence), 1e-12);
  EXPECT_LT(largest(linear_log_h(m, kLambda, x, at_t(0.0)) - kLambda * x), 1e-12);
}

TEST(Identities, IndicatorTilt) {
  const auto m = reference_mixture();
  const auto x = places();
  for (const double t : {0.05, 0.3, 0.7, 0.95, 1.0}) {
    const double d = 1e-5;
    const auto slope =
        (indicator_log_h(m, 2.0, x + d, at_t(t), 0.3) - indicator_log_h(m, 2.0, x - d, at_t(t), 0.3)) /
        (2.0 * d);
    EXPECT_LT(largest(indicator_log_h_gradient(m, 2.0, x, at_t(t), 0.3) - slope), 1e-6) << t;
  }
  EXPECT_LT(largest(indicator_log_h(m, 2.0, x, at_t(1.0)) - indicator_log_evidence(m, 2.0)), 1e-12);
  EXPECT_LT(largest(indicator_log_h(m, 2.0, x, at_t(0.0)) - 2.0 * (x > 0).to(at::kDouble)), 1e-12);
}

// In D dimensions the mean over elements tilts each of them by c / D, and the soft value is their sum.
TEST(Identities, ProductsTiltElementByElement) {
  const auto m = reference_mixture();
  const auto input = laboratory_input(m, uniform_schedule(4), 5, 1, {2, 1, 3, 3});
  const auto step = step_of(0.4, 5);
  const auto value = linear_soft_value(m, 7.0);
  const auto x = input.x_BCFHW.clone().requires_grad_();
  const auto g = torch::autograd::grad({value(x, step, input.conditioning).sum()}, {x})[0];
  EXPECT_LT(largest(g - linear_log_h_gradient(m, 7.0 / 18.0, input.x_BCFHW, at_t(0.4))), 1e-9);
  EXPECT_LT(largest(value(input.x_BCFHW, step_of(0.0, 5), input.conditioning) -
                    linear_reward(7.0)(input.x_BCFHW, step, input.conditioning)),
            1e-12);
}

// T1: the Kullback-Leibler divergence of two kernels of one noise, from their velocities.
TEST(Identities, DivergenceOfKernels) {
  const double t = 0.6, D = 0.05;
  for (const double sigma : {0.3, 0.7 * std::sqrt(t / (1.0 - t)), 1.0}) {
    const double drift = sigma * sigma / (2.0 * t);
    const KernelStep kernel{1.0 - drift * D, -(1.0 + drift * (1.0 - t)) * D, sigma * std::sqrt(D)};
    const auto x = five(places()), v = at::tanh(x), w = at::sin(x);
    const auto difference = transition(x, v, kernel).mean_BCFHW - transition(x, w, kernel).mean_BCFHW;
    const auto direct = difference.square() / (2.0 * kernel.std * kernel.std);
    const double factor = D / (2.0 * sigma * sigma) * std::pow(1.0 + drift * (1.0 - t), 2);
    EXPECT_LT(largest(direct - factor * (v - w).square()), 1e-12);
  }
}

// T12: the minimiser of E[e^{c x_0} |v(x_t) - (e - x_0)|^2] is the weighted mean of e - x_0 = (x_t - x_0) /
// t.
TEST(Identities, MinimiserOfWeightedRegressionIsTheTiltedVelocity) {
  const auto m = reference_mixture();
  const auto x = at::tensor({-0.5, 0.2, 0.8}, at::kDouble);
  const auto target = mixture_velocity(mixture_law(linear_tilt(m, kLambda).law), x, at_t(0.5));
  EXPECT_LT(largest(target - at::tensor({-1.279, -1.597, -0.779}, at::kDouble)), 6e-4);
  const auto weighted = by_quadrature(
      m, x, 0.5, [](const auto& x0, const auto& at_x) { return (kLambda * x0).exp() * (at_x - x0) / 0.5; });
  const auto weight =
      by_quadrature(m, x, 0.5, [](const auto& x0, const auto&) { return (kLambda * x0).exp(); });
  EXPECT_LT(largest(weighted / weight - target), 1e-8);
  // From samples, as a regression would have it: gradient descent would end where the weighted mean is.
  const auto z = normal_noise(5, Purpose::data, {0, 1}, 0, {200000, 3}, at::kDouble);
  const auto x0 = posterior_draw(m, x, at_t(0.5), 0.5 * at::erfc(z[0] * -std::sqrt(0.5)), z[1]);
  const auto w = at::softmax(kLambda * x0, 0);
  EXPECT_LT(largest((w * (x - x0) / 0.5).sum(0) - target), 0.02);
  EXPECT_GT(largest(((x - x0) / 0.5).mean(0) - target), 0.5);
}

}  // namespace
}  // namespace thalweg
