// Guidance against the tilted law in closed form: with log h_t for the reward it is exact, whatever the
// kernel, and only with the coefficient t/(1-t).
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "samplers/dpm_solver.h"
#include "samplers/guidance/dps.h"
#include "samplers/guidance/euphonium.h"
#include "samplers/guidance/flow_nrg.h"
#include "samplers/guidance/mpgd.h"
#include "samplers/heun.h"
#include "samplers/schedules/karras.h"
#include "tests/samplers/kernels.h"
#include "tests/samplers/laboratory.h"

namespace thalweg {
namespace {

constexpr double kTilt = 1.2;

// x_0 of `count` samples drawn with a guided velocity.
at::Tensor guided_samples(const Guidance& guidance, const Kernel& kernel, int64_t steps, int64_t count,
                          const std::vector<int64_t>& shape = {1, 1, 1, 1},
                          const Mixture& mixture = reference_mixture()) {
  auto in = laboratory_input(mixture, uniform_schedule(steps), count, 17, shape);
  in.velocity = guidance(in.velocity);
  return sample_transitions(in, kernel).x0_BCFHW;
}

struct Case {
  const char* name;
  Kernel kernel;
};
std::vector<Case> kernels() {
  return {{"ode", ode()},
          {"flow_sde", flow_sde(0.7)},
          {"dance_sde", dance_sde(1.0)},
          {"memoryless", memoryless()}};
}

TEST(GuidanceExact, TheSoftValueLeadsToTheTiltedLawWithEveryKernel) {
  const auto target = linear_tilt(reference_mixture(), kTilt).law;
  const auto guidance = flow_nrg(linear_soft_value(reference_mixture(), kTilt), {});
  for (const auto& [name, kernel] : kernels())
    EXPECT_LT(w1(guided_samples(guidance, kernel, 400, 40'000), target), 0.02) << name;
}

TEST(GuidanceExact, SoDoSixtyFourElementsAndTheRewardOfTheirMean) {
  const auto target = linear_tilt(reference_mixture(), kTilt).law;  // of each element
  const auto guidance = flow_nrg(linear_soft_value(reference_mixture(), kTilt * 64.0), {});
  for (const auto& [name, kernel] : kernels())
    EXPECT_LT(w1(guided_samples(guidance, kernel, 200, 125, {4, 1, 4, 4}), target), 0.02) << name;
}

TEST(GuidanceExact, LambdaIsTheStrengthOfTheReward) {
  // log h is not linear in lambda; the gradient of lambda * U is what lambda promises.
  const auto target = linear_tilt(reference_mixture(), kTilt).law;
  const RewardValue half = [value = linear_soft_value(reference_mixture(), kTilt)](
                               const at::Tensor& x, const Step& step, const Conditioning& c) {
    return 0.5 * value(x, step, c);
  };
  TiltOptions twice;
  twice.lambda = 2.0;
  EXPECT_LT(w1(guided_samples(flow_nrg(half, twice), ode(), 200, 4000), target), 0.03);
  EXPECT_GT(w1(guided_samples(flow_nrg(half, {}), ode(), 200, 4000), target), 0.2);
}

// x_1 is mapped to the quantile of the tilted law that it is of the normal one: in one dimension there is no
// other monotone map. Without the limit at t = 1 every solver is of first order, and 2M worse than Euler.
TEST(GuidanceExact, SolversKeepTheirOrderUnderTheSoftValue) {
  const auto target = linear_tilt(reference_mixture(), 1.1).law;
  const auto guidance = flow_nrg(linear_soft_value(reference_mixture(), 1.1), {});
  const auto error = [&](const auto& solve, const Schedule& schedule) {
    auto in = laboratory_input(reference_mixture(), schedule, 2000, 17);
    in.velocity = guidance(in.velocity);
    const auto exact = quantile_of(target, at::special_ndtr(in.x_BCFHW));
    const c10::NoGradGuard no_grad;
    return (solve(in) - exact).square().mean().sqrt().template item<double>();
  };
  const auto check = [&](const char* name, const auto& solve, const auto& grid, double order, double off) {
    const double coarse = error(solve, grid(40)), fine = error(solve, grid(80));
    EXPECT_GT(std::log2(coarse / fine), order) << name << " " << coarse << " " << fine;
    EXPECT_LT(fine, off) << name;
  };
  const auto karras = [](int64_t steps) { return karras_schedule(steps, 7.0, 0.002); };
  check("heun linear", sample_heun, uniform_schedule, 1.7, 0.001);
  check("heun karras", sample_heun, karras, 1.7, 0.004);
  check("dpmpp_2s karras", sample_dpmpp_2s, karras, 1.6, 0.01);
  check("dpmpp_2m karras", sample_dpmpp_2m, karras, 1.5, 0.02);
}

// Components that lie far apart: which one a sample falls to is decided where t is next to 1.
TEST(GuidanceExact, FarComponentsAreWeighedRightInTheFirstSteps) {
  const Mixture far{{0.5, 0.5}, {-50.0, 50.0}, {1.0, 1.0}};
  const auto target = linear_tilt(far, 0.02).law;  // weights .12, .88
  const auto samples =
      guided_samples(flow_nrg(linear_soft_value(far, 0.02), {}), ode(), 200, 4000, {1, 1, 1, 1}, far);
  EXPECT_NEAR((samples > 0.0).to(at::kDouble).mean().item<double>(), probability_above(target), 0.02);
}

TEST(GuidanceExact, EuphoniumsCoefficientIsFarOff) {
  const auto target = linear_tilt(reference_mixture(), kTilt).law;
  const auto soft = process_gradient(linear_soft_value(reference_mixture(), kTilt));
  const auto w1_with = [&](double beta) {
    EuphoniumOptions o;
    o.beta = beta;
    return w1(guided_samples(euphonium(soft, o), flow_sde(0.7), 200, 3000), target);
  };
  EXPECT_NEAR(w1_with(1.0), 1.13, 0.06);  // sigma^2/2
  EXPECT_NEAR(w1_with(0.5), 0.80, 0.06);  // sigma^2
  EXPECT_NEAR(w1(guided_samples(euphonium(soft, {.guidance_scale = 0.0}), flow_sde(0.7), 200, 3000), target),
              1.469, 0.06);
}

TEST(GuidanceExact, EuphoniumIsExactWhereTheNoiseIsLarge) {
  // The Langevin part alone then holds the chain at p_t h_t.
  const auto target = linear_tilt(reference_mixture(), kTilt).law;
  EuphoniumOptions o;
  o.beta = 1.0;
  const auto soft = process_gradient(linear_soft_value(reference_mixture(), kTilt));
  EXPECT_LT(w1(guided_samples(euphonium(soft, o), dance_sde(3.0), 400, 2000), target), 0.2);
}

TEST(GuidanceExact, OfNormalDataTheRewardOfTheCleanEstimateIsExact) {
  // log h_t = c x0hat + a function of t alone: no Jensen gap.
  const auto law = gaussian(0.7, 1.0), target = gaussian(0.7 + 0.8, 1.0);
  const auto error = [&](const Guidance& guidance, const Kernel& kernel) {
    return w1(guided_samples(guidance, kernel, 200, 125, {4, 1, 4, 4}, law), target);
  };
  for (const auto& [name, kernel] : kernels()) {
    EXPECT_LT(error(dps(linear_reward(0.8 * 64.0), {}), kernel), 0.03) << name;
    EXPECT_LT(error(mpgd(linear_reward(0.8 * 64.0), {}), kernel), 0.03) << name;
  }
  EXPECT_GT(error(dps(linear_reward(0.4 * 64.0), {}), ode()), 0.3);
}

}  // namespace
}  // namespace thalweg
