// Solvers of second order: the order, what is exact, where the velocity is asked for.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/models/sd3/sd3_schedule.h"
#include "samplers/dpm_solver.h"
#include "samplers/heun.h"
#include "samplers/kernels/ode.h"
#include "samplers/transitions.h"
#include "samplers/unipc.h"
#include "tests/samplers/analytic.h"
#include "tests/samplers/laboratory.h"

namespace thalweg {
namespace {

using Solver = std::function<at::Tensor(const SamplerInput&)>;

at::Tensor sample_euler(const SamplerInput& input) {
  return sample_transitions(input, ode()).x0_BCFHW;
}

struct NamedSolver {
  const char* name;
  Solver solve;
};

const NamedSolver kSecondOrder[] = {{"heun", sample_heun},
                                    {"dpmpp_2m", sample_dpmpp_2m},
                                    {"dpmpp_2s", sample_dpmpp_2s},
                                    {"unipc", sample_unipc}};

// Root mean square distance to a fine solution on the reference mixture.
double error_of(const Solver& solve, const std::function<Schedule(int64_t)>& grid, int64_t steps) {
  const auto at_steps = [&](int64_t n, const Solver& solver) {
    return solver(laboratory_input(reference_mixture(), grid(n), 200, 3));
  };
  static std::map<double, at::Tensor> fine;  // by the last noise level, which tells the grids apart
  auto& reference = fine[grid(2).sigmas.back()];
  if (!reference.defined()) reference = at_steps(4000, sample_heun);
  return (at_steps(steps, solve) - reference).square().mean().sqrt().item<double>();
}

// Uniform in lambda from noise level .95 to .05: no end where lambda is infinite. The last Euler step of a
// solver is not among them, for the schedule goes one level on.
Schedule inner_grid(int64_t steps) {
  Schedule schedule;
  const double high = std::log(0.05 / 0.95), low = std::log(0.95 / 0.05);
  for (int64_t i = 0; i <= steps; ++i)
    schedule.sigmas.push_back(
        1.0 / (1.0 + std::exp(high + (low - high) * static_cast<double>(i) / static_cast<double>(steps))));
  return schedule;
}

TEST(Solvers, ErrorFallsWithTheirOrder) {
  const auto order = [](const Solver& solve, const std::function<Schedule(int64_t)>& grid, int64_t steps) {
    return std::log2(error_of(solve, grid, steps) / error_of(solve, grid, 2 * steps));
  };
  EXPECT_NEAR(order(sample_euler, uniform_schedule, 80), 1.0, 0.1);
  // Both ends included; lambda is steep there, so that 2M comes near its order slowly.
  EXPECT_NEAR(order(sample_heun, uniform_schedule, 80), 2.0, 0.1);
  EXPECT_NEAR(order(sample_dpmpp_2s, uniform_schedule, 80), 1.92, 0.1);
  EXPECT_NEAR(order(sample_dpmpp_2m, uniform_schedule, 160), 1.78, 0.1);
  EXPECT_NEAR(order(sample_dpmpp_2m, inner_grid, 80), 2.0, 0.15);
  EXPECT_NEAR(order(sample_dpmpp_2s, inner_grid, 80), 2.0, 0.15);
  EXPECT_GT(order(sample_unipc, inner_grid, 80), 1.85);  // the corrector gains an order, the ends cost it
}

TEST(Solvers, AreBetterThanEulerAtTheSamePrice) {
  for (const auto& [name, solve] : kSecondOrder) {
    const int64_t calls = std::string(name) == "dpmpp_2m" || std::string(name) == "unipc" ? 40 : 20;
    EXPECT_LT(error_of(solve, uniform_schedule, calls), 0.3 * error_of(sample_euler, uniform_schedule, 40))
        << name;
  }
}

TEST(Solvers, StraightPathsEndAtTheDataInAnyNumberOfSteps) {
  const auto x0 = random_latents(1, at::kDouble), e = random_latents(2, at::kDouble);
  for (const auto& [name, solve] : kSecondOrder)
    for (const int64_t steps : {1, 2, 3, 10}) {
      auto input = sampler_input(sd3_schedule(steps, 3.0), at::kDouble);
      input.x_BCFHW = e;
      input.velocity = [&](const at::Tensor&, const Step&, const Conditioning&) { return e - x0; };
      EXPECT_LT((solve(input) - x0).abs().max().item<double>(), 1e-12) << name << steps;
    }
}

// One step is Euler's, whose ends are 1 and 0.
TEST(Solvers, OneStepIsEulers) {
  const auto input = sampler_input(sd3_schedule(1, 3.0), at::kDouble);
  for (const auto& [name, solve] : kSecondOrder)
    EXPECT_TRUE(at::allclose(solve(input), sample_euler(input), 0.0, 1e-14)) << name;
}

TEST(Solvers, AskForAsManyVelocitiesAsTheySay) {
  const struct {
    Solver solve;
    size_t calls;
  } cases[] = {{sample_heun, 9}, {sample_dpmpp_2m, 5}, {sample_dpmpp_2s, 8}, {sample_unipc, 5}};
  for (const auto& [solve, calls] : cases) {
    auto input = sampler_input(sd3_schedule(5, 3.0), at::kDouble);
    std::vector<double> levels;
    input.velocity = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
      levels.push_back(step.sigma_B[0].item<double>());
      EXPECT_TRUE(step.index >= 0 && step.index < 5);
      return analytic_velocity(x, step, c);
    };
    EXPECT_TRUE(solve(input).isfinite().all().item<bool>());
    EXPECT_EQ(levels.size(), calls);
    EXPECT_TRUE(std::is_sorted(levels.rbegin(), levels.rend()));
  }
}

// What heun.h and the key guidance_interval say: an interval counts by the index of each velocity.
TEST(Solvers, OfAnIntervalHeunGuidesTheEdgesHalf) {
  auto input = sampler_input(sd3_schedule(6, 3.0), at::kDouble);
  const auto indices = [&](const Solver& solve) {
    std::vector<int64_t> asked;
    input.velocity = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
      asked.push_back(step.index);
      return analytic_velocity(x, step, c);
    };
    solve(input);
    return asked;
  };
  EXPECT_EQ(indices(sample_heun), (std::vector<int64_t>{0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5}));
  EXPECT_EQ(indices(sample_dpmpp_2s), (std::vector<int64_t>{0, 1, 1, 2, 2, 3, 3, 4, 4, 5}));
}

TEST(Solvers, PermutedBatchesGivePermutedSamples) {
  const auto schedule = sd3_schedule(5, 3.0);
  for (const auto& [name, solve] : kSecondOrder)
    EXPECT_TRUE(at::equal(
        solve(sampler_input(schedule, at::kDouble, {2, 0, 3, 1})),
        solve(sampler_input(schedule, at::kDouble)).index_select(0, at::tensor({2, 0, 3, 1}, at::kLong))))
        << name;
}

}  // namespace
}  // namespace thalweg
