// A sampler's steps backwards: against one graph over all of them, and the lean adjoint's closed form.
#include "samplers/backward.h"

#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/optim/gradients.h"
#include "samplers/schedules/linear.h"
#include "samplers/transitions.h"
#include "tests/samplers/analytic.h"
#include "tests/samplers/kernels.h"
#include "tests/samplers/laboratory.h"

namespace thalweg {
namespace {

// v = tanh(a x + prompt) - b sigma x: the analytic velocity with parameters.
Velocity learnt(const TensorMap& p) {
  return [p](const at::Tensor& x, const Step& step, const Conditioning& c) {
    const auto sigma = step.sigma_B.view({-1, 1, 1, 1, 1});
    return at::tanh(x * p.at("a") + c.tensors.at("c").view({-1, 2, 1, 1, 1})) - x * (p.at("b") * sigma);
  };
}

TensorMap parameters() {
  return leaves({{"a", at::full({1}, 0.7, at::kDouble)}, {"b", at::full({1}, 0.2, at::kDouble)}});
}

TEST(Backward, AWalkIsTheSamplerAndKeepsItsLastStates) {
  for (const auto& [name, kernel] : noisy_kernels()) {
    SCOPED_TRACE(name);
    const auto input = sampler_input(linear_schedule(6), at::kDouble);
    const auto walked = walk(input, kernel, 4, 6);
    EXPECT_TRUE(at::equal(walked.x0_BCFHW, sample_transitions(input, kernel).x0_BCFHW));
    EXPECT_EQ(walked.trained_steps, (std::vector<int64_t>{4, 5}));
    EXPECT_TRUE(at::equal(walked.latents[1], walk(input, kernel, 0, 5).x0_BCFHW));
  }
}

// One step's graph at a time against the graph of all steps, whose memory grows with them.
TEST(Backward, GradientsAreThoseOfOneGraphOverTheWholeWay) {
  for (const auto& [name, kernel] : noisy_kernels()) {
    SCOPED_TRACE(name);
    const auto p = parameters();
    auto input = sampler_input(linear_schedule(6), at::kDouble);
    input.velocity = learnt(p);
    const auto adjoint = random_latents(3, at::kDouble);
    for (const int64_t back : {1, 3, 6}) {
      Trajectory walked;
      {
        const c10::NoGradGuard no_grad;
        walked = walk(input, kernel, 6 - back, 6);
      }
      const auto way = way_of(walked, kernel, input.slot_B);
      const auto steps = way_gradients(input.velocity, way, input.conditioning, adjoint, p);
      auto x = way.x.front();
      for (const auto& step : way.steps)
        x = next_latents(x, input.velocity(x, step, input.conditioning), transition_noise(input, x, step),
                         step.kernel);
      ASSERT_TRUE(at::equal(x, way.end));
      const auto whole = gradients_of((x * adjoint).sum(), p);
      for (const char* parameter : {"a", "b"}) {
        EXPECT_TRUE(at::allclose(steps.at(parameter), whole.at(parameter), 1e-12, 1e-14)) << parameter;
        EXPECT_GT(whole.at(parameter).abs().item<double>(), 1e-3);
      }
    }
  }
}

TEST(Backward, LandsOnTheCleanEstimate) {
  const auto schedule = linear_schedule(5);
  const auto step = landing(schedule, 3);
  const auto x = random_latents(1, at::kDouble), v = random_latents(2, at::kDouble);
  EXPECT_TRUE(at::allclose(transition(x, v, step).mean_BCFHW, x - schedule.sigmas[3] * v, 0.0, 1e-15));
}

constexpr double kC = 1.2, kStd = 0.5;

// Largest distance from a_t = -c (1-t) s^2 / V over the levels below 1, for data N(0.7, s^2) and reward c x.
double adjoint_error(const Kernel& kernel, int64_t steps) {
  const auto schedule = linear_schedule(steps);
  const std::vector<int64_t> slots = {0, 1};
  Way way;
  for (int64_t i = 1; i < steps; ++i) {
    way.steps.push_back(step_of(kernel, schedule, i, slots));
    way.x.push_back(at::tensor({-0.3, 1.1}, at::kDouble).view({2, 1, 1, 1, 1}));  // whatever drew them
  }
  way.end = way.x.back();
  const auto lean =
      lean_adjoint(velocity_of(gaussian(0.7, kStd)), way, {{"", ""}, {}}, at::full_like(way.end, -kC));
  double largest = 0.0;
  for (size_t k = 0; k < way.steps.size(); ++k) {
    const double t = schedule.sigmas[k + 1], variance = (1 - t) * (1 - t) * kStd * kStd + t * t;
    largest =
        std::max(largest, (lean.a[k] + kC * (1 - t) * kStd * kStd / variance).abs().max().item<double>());
  }
  return largest;
}

// T18. The ancestral kernel's means are conditional expectations, which compose: no step is too long.
TEST(LeanAdjoint, IsExactAlongAncestralSteps) {
  for (const int64_t steps : {3, 20, 200}) EXPECT_LT(adjoint_error(memoryless(), steps), 1e-12) << steps;
}

TEST(LeanAdjoint, IsOfFirstOrderAlongEulerMaruyamaSteps) {
  const Kernel euler_maruyama = [](const Schedule& schedule, int64_t index) {
    const double t = schedule.sigmas[static_cast<size_t>(index)];
    return reverse_sde(schedule, index, std::sqrt(2.0 * t / (1.0 - t)));
  };
  const double coarse = adjoint_error(euler_maruyama, 200), fine = adjoint_error(euler_maruyama, 2000);
  EXPECT_LT(fine, 2e-3);
  EXPECT_NEAR(coarse / fine, 10.0, 1.0);
}

}  // namespace
}  // namespace thalweg
