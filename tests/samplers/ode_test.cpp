#include "samplers/kernels/ode.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/models/sd3/sd3_schedule.h"
#include "samplers/transitions.h"
#include "tests/samplers/analytic.h"

namespace thalweg {
namespace {

at::Tensor solved(const SamplerInput& input) {
  return sample_transitions(input, ode()).x0_BCFHW;
}

TEST(Ode, StraightPathsEndAtTheDataInAnyNumberOfSteps) {
  const auto x0 = random_latents(1, at::kDouble), e = random_latents(2, at::kDouble);
  for (const int64_t steps : {1, 3, 10}) {
    SamplerInput input = sampler_input(sd3_schedule(steps, 3.0), at::kDouble);
    input.x_BCFHW = e;
    input.velocity = [&](const at::Tensor&, const Step&, const Conditioning&) { return e - x0; };
    EXPECT_LT((solved(input) - x0).abs().max().item<double>(), 1e-13) << steps;
  }
}

// dx/ds = x has the solution x(0) = x(1)/e; Euler's error is of first order.
TEST(Ode, ConvergesWithFirstOrder) {
  const auto error = [](int64_t steps) {
    SamplerInput input = sampler_input({{}}, at::kDouble);
    for (int64_t i = 0; i <= steps; ++i)
      input.schedule.sigmas.push_back(1.0 - static_cast<double>(i) / static_cast<double>(steps));
    input.velocity = [](const at::Tensor& x, const Step&, const Conditioning&) { return x; };
    return (solved(input) - input.x_BCFHW * std::exp(-1.0)).abs().max().item<double>();
  };
  const double coarse = error(50), fine = error(100);
  EXPECT_GT(fine, 0.0);
  EXPECT_NEAR(coarse / fine, 2.0, 0.05);
}

TEST(Ode, TellsTheVelocityWhereItIs) {
  const auto schedule = sd3_schedule(3, 3.0);
  SamplerInput input = sampler_input(schedule, at::kFloat);
  int64_t expected = 0;
  input.velocity = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    const auto i = static_cast<size_t>(expected);
    EXPECT_EQ(step.index, expected++);
    EXPECT_EQ(step.slot_B, input.slot_B);
    EXPECT_EQ(step.sigma_B.scalar_type(), at::kDouble);
    EXPECT_TRUE(at::equal(step.sigma_B, at::full({4}, schedule.sigmas[i], at::kDouble)));
    EXPECT_TRUE(at::equal(step.next_sigma_B, at::full({4}, schedule.sigmas[i + 1], at::kDouble)));
    EXPECT_EQ(c.batch(), 4);
    return at::zeros_like(x);
  };
  EXPECT_TRUE(at::equal(solved(input), input.x_BCFHW));
  EXPECT_EQ(expected, 3);
}

}  // namespace
}  // namespace thalweg
