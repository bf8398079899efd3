// Numbers of the Flow-SDE kernel and of its noise levels, worked out by hand from the paper's formulas
// (float64, outside of this program) and rounded to six digits.
#include "samplers/flow_sde.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/models/sd3/sd3_model.h"

namespace thalweg {
namespace {

struct GoldenStep {
  double next_sigma;  // noise that should be left
  double std;         // noise that the step draws
  double total;       // noise that is left when v is exact
};

// Stable Diffusion 3: 10 steps, shift 3, noise level 0.7.
constexpr GoldenStep kSd3[] = {{0.960129, 0.700000, 1.000705}, {0.913349, 0.742964, 0.971460},
                               {0.857692, 0.536152, 0.881996}, {0.790368, 0.445897, 0.808531},
                               {0.707278, 0.391794, 0.725128}, {0.602151, 0.352797, 0.623560},
                               {0.464876, 0.319070, 0.496452}, {0.278049, 0.282007, 0.341451},
                               {0.008929, 0.225360, 0.239952}, {0.000000, 0.006278, 0.006655}};

// FLUX.1 at 512 pixels (mu 0.63): 6 steps, noise level 0.9.
const Schedule kFluxSchedule{{1.0, 0.903736, 0.789705, 0.652490, 0.484218, 0.273003, 0.0}};
constexpr GoldenStep kFlux[] = {{0.903736, 0.900000, 1.028950}, {0.789705, 0.931196, 0.981428},
                                {0.652490, 0.646043, 0.753721}, {0.484218, 0.505883, 0.582172},
                                {0.273003, 0.400768, 0.414845}, {0.000000, 0.288167, 0.325838}};

// x_s = (1-s) x0 + s e and v = e - x0 for one number each.
Transition exact_step(const Schedule& schedule, int64_t index, double noise_level, double x0, double e) {
  const double s = schedule.sigmas[static_cast<size_t>(index)];
  const auto x = at::full({1, 1, 1, 1, 1}, (1.0 - s) * x0 + s * e, at::kDouble);
  const auto v = at::full({1, 1, 1, 1, 1}, e - x0, at::kDouble);
  return flow_sde_transition(x, v, schedule, index, noise_level);
}

double mean_of(const Transition& transition) {
  return transition.mean_BCFHW.item<double>();
}

void expect_golden(const Schedule& schedule, double noise_level, const GoldenStep* golden, int64_t steps) {
  ASSERT_EQ(schedule.steps(), steps);
  for (int64_t i = 0; i < steps; ++i) {
    SCOPED_TRACE("step " + std::to_string(i));
    const double next = schedule.sigmas[static_cast<size_t>(i) + 1];
    EXPECT_NEAR(next, golden[i].next_sigma, 1e-5);
    const auto noise_only = exact_step(schedule, i, noise_level, 0.0, 1.0);
    EXPECT_NEAR(noise_only.std, golden[i].std, 1e-5);
    EXPECT_NEAR(std::hypot(noise_only.std, mean_of(noise_only)), golden[i].total, 1e-5);
    // The clean latent keeps its weight whatever the noise level.
    EXPECT_NEAR(mean_of(exact_step(schedule, i, noise_level, 1.0, 0.0)), 1.0 - next, 1e-14);
  }
}

TEST(FlowSdeGolden, Sd3TenSteps) {
  expect_golden(sd3_schedule(10, 3.0), 0.7, kSd3, 10);
}

TEST(FlowSdeGolden, FluxSixSteps) {
  expect_golden(kFluxSchedule, 0.9, kFlux, 6);
}

TEST(FlowSdeGolden, FirstStepClampsByIndex) {
  const auto schedule = sd3_schedule(10, 3.0);
  EXPECT_NEAR(flow_sde_diffusion(schedule, 0, 0.7), 3.505671, 1e-5);
  EXPECT_NEAR(flow_sde_diffusion(schedule, 1, 0.7), 3.435073, 1e-5);
  // A first noise level that rounding left just below one must not blow up: 1/(1-s) would be 1e7 here.
  auto rounded = schedule;
  rounded.sigmas[0] = 1.0 - 1e-7;
  EXPECT_NEAR(flow_sde_diffusion(rounded, 0, 0.7), 3.505671, 1e-5);
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
