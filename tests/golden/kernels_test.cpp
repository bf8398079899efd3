// Numbers of the kernels and of their noise levels, worked out by hand from the papers' formulas (float64,
// outside of this program) and rounded to six digits.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/models/sd3/sd3_schedule.h"
#include "tests/samplers/kernels.h"

namespace thalweg {
namespace {

struct GoldenStep {
  double next_sigma;  // noise that should be left
  double std;         // noise that the step draws
  double total;       // noise that is left when v is exact
};

// Stable Diffusion 3: 10 steps, shift 3.
constexpr GoldenStep kSd3FlowSde[] = {  // a = 0.7
    {0.960129, 0.700000, 1.000705}, {0.913349, 0.742964, 0.971460}, {0.857692, 0.536152, 0.881996},
    {0.790368, 0.445897, 0.808531}, {0.707278, 0.391794, 0.725128}, {0.602151, 0.352797, 0.623560},
    {0.464876, 0.319070, 0.496452}, {0.278049, 0.282007, 0.341451}, {0.008929, 0.225360, 0.239952},
    {0.000000, 0.006278, 0.006655}};
constexpr GoldenStep kSd3Cps[] = {  // eta = 0.8
    {0.960129, 0.913137, 0.960129}, {0.913349, 0.868646, 0.913349}, {0.857692, 0.815714, 0.857692},
    {0.790368, 0.751685, 0.790368}, {0.707278, 0.672662, 0.707278}, {0.602151, 0.572679, 0.602151},
    {0.464876, 0.442123, 0.464876}, {0.278049, 0.264440, 0.278049}, {0.008929, 0.008492, 0.008929},
    {0.000000, 0.000000, 0.000000}};
constexpr GoldenStep kSd3DanceSde[] = {  // eta = 0.3
    {0.960129, 0.059903, 0.960205}, {0.913349, 0.064886, 0.913464}, {0.857692, 0.070775, 0.857875},
    {0.790368, 0.077841, 0.790677}, {0.707278, 0.086476, 0.707850}, {0.602151, 0.097270, 0.603354},
    {0.464876, 0.111152, 0.468008}, {0.278049, 0.129671, 0.290509}, {0.008929, 0.155630, 0.159436},
    {0.000000, 0.028347, 0.053184}};

// FLUX.1 at 512 pixels (mu 0.63): 6 steps, a = 0.9.
const Schedule kFluxSchedule{{1.0, 0.903736, 0.789705, 0.652490, 0.484218, 0.273003, 0.0}};
constexpr GoldenStep kFluxFlowSde[] = {{0.903736, 0.900000, 1.028950}, {0.789705, 0.931196, 0.981428},
                                       {0.652490, 0.646043, 0.753721}, {0.484218, 0.505883, 0.582172},
                                       {0.273003, 0.400768, 0.414845}, {0.000000, 0.288167, 0.325838}};

template <size_t N>
void expect_golden(const Schedule& schedule, const Kernel& kernel, const GoldenStep (&golden)[N]) {
  ASSERT_EQ(schedule.steps(), static_cast<int64_t>(N));
  for (size_t i = 0; i < N; ++i) {
    SCOPED_TRACE("step " + std::to_string(i));
    EXPECT_NEAR(schedule.sigmas[i + 1], golden[i].next_sigma, 1e-5);
    const auto step = kernel(schedule, static_cast<int64_t>(i));
    EXPECT_NEAR(step.std, golden[i].std, 1e-5);
    // x_s = (1-s) x_0 + s e and v = e - x_0: of the noise e, the mean keeps x_scale s + v_scale.
    const double kept = step.x_scale * schedule.sigmas[i] + step.v_scale;
    EXPECT_NEAR(std::hypot(step.std, kept), golden[i].total, 1e-5);
  }
}

TEST(KernelGolden, FlowSdeInTenStepsOfSd3) {
  expect_golden(sd3_schedule(10, 3.0), flow_sde(0.7), kSd3FlowSde);
}

TEST(KernelGolden, CpsInTenStepsOfSd3) {
  expect_golden(sd3_schedule(10, 3.0), cps(0.8), kSd3Cps);
}

TEST(KernelGolden, DanceSdeInTenStepsOfSd3) {
  expect_golden(sd3_schedule(10, 3.0), dance_sde(0.3), kSd3DanceSde);
}

TEST(KernelGolden, FlowSdeInSixStepsOfFlux) {
  expect_golden(kFluxSchedule, flow_sde(0.9), kFluxFlowSde);
}

TEST(KernelGolden, FirstStepClampsByIndex) {
  const auto diffusion_of = [](const Schedule& schedule, int64_t i) {
    return diffusion(flow_sde(0.7)(schedule, i), schedule, i);
  };
  const auto schedule = sd3_schedule(10, 3.0);
  EXPECT_NEAR(diffusion_of(schedule, 0), 3.505671, 1e-5);
  EXPECT_NEAR(diffusion_of(schedule, 1), 3.435073, 1e-5);
  // A first noise level that rounding left just below one must not blow up: 1/(1-s) would be 1e7 here.
  auto rounded = schedule;
  rounded.sigmas[0] = 1.0 - 1e-7;
  EXPECT_NEAR(diffusion_of(rounded, 0), 3.505671, 1e-5);
}

// Gaussian data N(0.7, 0.25): v = E[e - x_0 | x] is affine in x, so mean and variance follow a recursion of
// the coefficients alone. Few steps lose variance, each kernel its own share.
struct Moments {
  double mean, variance;
};

Moments of_gaussian_data(const Kernel& kernel, int64_t steps) {
  constexpr double m = 0.7, variance = 0.25;
  Schedule uniform;
  for (int64_t i = 0; i <= steps; ++i)
    uniform.sigmas.push_back(1.0 - static_cast<double>(i) / static_cast<double>(steps));
  Moments x{0.0, 1.0};
  for (int64_t i = 0; i < steps; ++i) {
    const double s = uniform.sigmas[static_cast<size_t>(i)];
    const double slope = (s - (1.0 - s) * variance) / ((1.0 - s) * (1.0 - s) * variance + s * s);
    const auto step = kernel(uniform, i);
    const double a = step.x_scale + step.v_scale * slope;
    x.mean = a * x.mean - step.v_scale * (m + slope * (1.0 - s) * m);
    x.variance = a * a * x.variance + step.std * step.std;
  }
  return x;
}

TEST(KernelGolden, MomentsOfGaussianData) {
  const struct {
    const char* name;
    Kernel kernel;
    double variance[3];
  } golden[] = {{"ode", ode(), {0.18557, 0.23561, 0.24632}},
                {"flow_sde", flow_sde(0.7), {0.22996, 0.24846, 0.25103}},
                {"dance_sde", dance_sde(0.3), {0.19497, 0.23777, 0.24688}},
                {"memoryless", memoryless(), {0.14935, 0.22024, 0.24163}}};
  const int64_t steps[] = {10, 50, 200};
  for (const auto& row : golden)
    for (size_t k = 0; k < 3; ++k) {
      const auto x = of_gaussian_data(row.kernel, steps[k]);
      EXPECT_NEAR(x.mean, 0.7, 1e-12) << row.name << steps[k];
      EXPECT_NEAR(x.variance, row.variance[k], 1e-5) << row.name << steps[k];
    }
  // The clamped first step leaves a bias that does not vanish: not 0.25.
  EXPECT_NEAR(of_gaussian_data(flow_sde(0.7), 2000).variance, 0.25073, 1e-5);
}

// CPS keeps the noise level of points, and not the variance of data.
TEST(KernelGolden, CpsDoesNotKeepMarginals) {
  EXPECT_NEAR(of_gaussian_data(cps(0.3), 2000).variance, 0.2356, 1e-4);
  EXPECT_NEAR(of_gaussian_data(cps(0.7), 2000).variance, 0.1808, 1e-4);
  EXPECT_NEAR(of_gaussian_data(cps(0.9), 2000).variance, 0.1437, 1e-4);
  // Data of one point, 0: v = x/s. At s' = 1/2 the variance is 1/4 for any eta, in any number of steps.
  for (const double eta : {0.2, 0.7, 1.0})
    for (const int64_t steps : {2, 10, 40}) {
      Schedule uniform;
      for (int64_t i = 0; i <= steps; ++i)
        uniform.sigmas.push_back(1.0 - static_cast<double>(i) / static_cast<double>(steps));
      double variance = 1.0;
      for (int64_t i = 0; i < steps / 2; ++i) {
        const auto step = cps(eta)(uniform, i);
        const double a = step.x_scale + step.v_scale / uniform.sigmas[static_cast<size_t>(i)];
        variance = a * a * variance + step.std * step.std;
      }
      EXPECT_NEAR(variance, 0.25, 1e-12) << eta << " " << steps;
    }
}

TEST(Sd3ScheduleGolden, TenStepsShiftedTwice) {
  const double golden[] = {1.0,     0.96013, 0.91335, 0.85769, 0.79037, 0.70728,
                           0.60215, 0.46488, 0.27805, 0.00893, 0.0};
  const auto schedule = sd3_schedule(10, 3.0);
  ASSERT_EQ(schedule.sigmas.size(), std::size(golden));
  for (size_t i = 0; i < std::size(golden); ++i) EXPECT_NEAR(schedule.sigmas[i], golden[i], 1e-5) << i;
  EXPECT_EQ(schedule.sigmas.front(), 1.0);
  EXPECT_EQ(schedule.sigmas.back(), 0.0);
}

TEST(Sd3ScheduleGolden, OtherLengths) {
  const double four[] = {1.0, 0.857692, 0.602151, 0.008929, 0.0};
  const auto schedule = sd3_schedule(4, 3.0);
  ASSERT_EQ(schedule.steps(), 4);
  for (size_t i = 0; i < std::size(four); ++i) EXPECT_NEAR(schedule.sigmas[i], four[i], 1e-6) << i;
  EXPECT_EQ(sd3_schedule(1, 3.0).sigmas, (std::vector<double>{1.0, 0.0}));
  // Shift 1 leaves the straight grid from 1 to 1/1000.
  const auto straight = sd3_schedule(3, 1.0);
  EXPECT_NEAR(straight.sigmas[1], 0.5005, 1e-12);
  EXPECT_NEAR(straight.sigmas[2], 0.001, 1e-12);
}

}  // namespace
}  // namespace thalweg
