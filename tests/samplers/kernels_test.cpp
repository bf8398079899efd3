// Kernels: what their steps keep and draw, and the log-probabilities of those.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <numbers>

#include "engine/models/sd3/sd3_schedule.h"
#include "samplers/cuda/fused_transition.h"
#include "samplers/schedules/linear.h"
#include "tests/samplers/analytic.h"
#include "tests/samplers/kernels.h"

namespace thalweg {
namespace {

// x_s = (1-s) x_0 + s e: with v exact, every mean keeps x_0 at 1-s'.
TEST(Kernels, KeepTheWeightOfTheCleanLatent) {
  for (const auto& schedule : {sd3_schedule(10, 3.0), sd3_schedule(3, 1.0)})
    for (const auto& family : kernel_families())
      for (const double part : {0.25, 1.0})
        for (int64_t i = 0; i < schedule.steps(); ++i) {
          const auto step = family.kernel(part * family.noise)(schedule, i);
          const auto k = static_cast<size_t>(i);
          EXPECT_NEAR(step.x_scale * (1.0 - schedule.sigmas[k]) - step.v_scale, 1.0 - schedule.sigmas[k + 1],
                      1e-14)
              << family.name << i;
          EXPECT_TRUE(std::isfinite(step.std) && step.std >= 0.0) << family.name << i;
        }
}

// Variance of what a kernel makes of normal noise where data are standard normal: the exact recursion, since
// v = (2s - 1) / (s^2 + (1-s)^2) x.
double variance_of_normal_data(const Kernel& kernel, int64_t steps) {
  const auto schedule = linear_schedule(steps);
  double variance = 1.0;
  for (int64_t i = 0; i < steps; ++i) {
    const auto step = kernel(schedule, i);
    const double s = schedule.sigmas[static_cast<size_t>(i)];
    const double kept = step.x_scale + step.v_scale * (2.0 * s - 1.0) / (s * s + (1.0 - s) * (1.0 - s));
    variance = kept * kept * variance + step.std * step.std;
  }
  return variance;
}

// What flow_sde.h says. Ten times the steps are a tenth of the error with any kernel of first order.
TEST(Kernels, FlowSdeIsNotOfFirstOrder) {
  const auto off = [](const Kernel& kernel, int64_t steps) {
    return variance_of_normal_data(kernel, steps) - 1.0;
  };
  EXPECT_NEAR(off(flow_sde(0.3), 100), -0.017, 5e-4);
  EXPECT_NEAR(off(flow_sde(0.3), 10'000), 0.0022, 5e-5);
  EXPECT_NEAR(off(flow_sde(0.3), 100'000), 0.0019, 5e-5);
  EXPECT_NEAR(off(flow_sde(0.7), 100), 0.0079, 5e-5);
  EXPECT_NEAR(off(flow_sde(0.7), 10'000), 0.0022, 5e-5);
  EXPECT_NEAR(off(flow_sde(0.7), 100'000), 0.0007, 5e-5);
  for (const auto& kernel : {ode(), dance_sde(0.3), memoryless()})
    EXPECT_NEAR(off(kernel, 1000) / off(kernel, 10'000), 10.0, 1.0);
}

// DDIM's family leaves exactly s' of noise; what it draws is between none and all of it.
TEST(Kernels, RenoisedLeavesTheNoiseOfTheNextLevel) {
  const auto schedule = sd3_schedule(10, 3.0);
  for (int64_t i = 0; i < schedule.steps(); ++i)
    for (const double eta : {0.2, 0.8, 1.0})
      for (const auto& kernel : {cps(eta), memoryless(eta)}) {
        const auto step = kernel(schedule, i);
        const auto k = static_cast<size_t>(i);
        const double kept = step.x_scale * schedule.sigmas[k] + step.v_scale;
        EXPECT_NEAR(std::hypot(kept, step.std), schedule.sigmas[k + 1], 1e-14) << i;
        EXPECT_GE(kept, -1e-15);
      }
  EXPECT_THROW(renoised(schedule, 2, schedule.sigmas[3] + 0.01), c10::Error);
}

// At s = 1 a memoryless step forgets x: x' = (1-s') x_0 + s' z. Fine steps are those of the SDE with g^2 =
// 2s/(1-s).
TEST(Kernels, MemorylessForgetsAndIsTheSdeOfFineSteps) {
  const auto schedule = sd3_schedule(10, 3.0);
  const auto first = memoryless()(schedule, 0);
  const double next = schedule.sigmas[1];
  EXPECT_NEAR(first.x_scale, 1.0 - next, 1e-15);
  EXPECT_NEAR(first.v_scale, -(1.0 - next), 1e-15);
  EXPECT_NEAR(first.std, next, 1e-15);
  const auto last = memoryless()(schedule, 9), last_euler = euler(schedule, 9);
  EXPECT_EQ(last.std, 0.0);
  EXPECT_EQ(last.x_scale, last_euler.x_scale);
  EXPECT_EQ(last.v_scale, last_euler.v_scale);
  const Schedule fine{{1.0, 0.6, 0.6 - 1e-5, 0.0}};
  const auto ancestral = memoryless()(fine, 1), sde = flow_sde(std::sqrt(2.0))(fine, 1);
  EXPECT_NEAR(ancestral.std / sde.std, 1.0, 1e-4);
  EXPECT_NEAR(ancestral.x_scale, sde.x_scale, 1e-8);
  EXPECT_NEAR(ancestral.v_scale, sde.v_scale, 1e-8);
}

TEST(Kernels, DiffusionIsTheStdPerRootOfTime) {
  const auto schedule = sd3_schedule(10, 3.0);
  for (int64_t i = 0; i < 10; ++i)
    EXPECT_NEAR(diffusion(dance_sde(0.3)(schedule, i), schedule, i), 0.3, 1e-14);
}

TEST(FlowSde, VelocityHasAConstantPrefactor) {
  const auto schedule = sd3_schedule(10, 3.0);
  for (const double a : {0.3, 0.7, 1.2}) {
    for (int64_t i = 0; i < schedule.steps(); ++i) {
      const auto v = random_latents(3, at::kDouble).requires_grad_();
      const auto mean = transition(random_latents(4, at::kDouble), v, flow_sde(a)(schedule, i)).mean_BCFHW;
      const auto slope = torch::autograd::grad({mean.sum()}, {v})[0];
      const double dt = schedule.sigmas[static_cast<size_t>(i) + 1] - schedule.sigmas[static_cast<size_t>(i)];
      // At s = 1 the extra drift (1-s) g^2/(2s) is nothing.
      const double expected = i == 0 ? dt : (1.0 + a * a / 2.0) * dt;
      EXPECT_LT((slope - expected).abs().max().item<double>(), 1e-12) << "step " << i << ", a = " << a;
    }
  }
}

TEST(LogProbs, IsTheMeanGaussianDensity) {
  const auto next = random_latents(5, at::kDouble), mean = random_latents(6, at::kDouble);
  const double std = 0.37;
  const auto log_prob = thalweg::log_prob(next, {mean, std}, gaussian);
  ASSERT_EQ(log_prob.sizes(), at::IntArrayRef({next.size(0)}));
  const int64_t elements = next[0].numel();
  for (int64_t b = 0; b < next.size(0); ++b) {
    const auto x = next[b].contiguous(), m = mean[b].contiguous();
    double sum = 0.0;
    for (int64_t i = 0; i < elements; ++i) {
      const double z = (x.const_data_ptr<double>()[i] - m.const_data_ptr<double>()[i]) / std;
      sum += std::log(std::exp(-0.5 * z * z) / (std * std::sqrt(2.0 * std::numbers::pi)));
    }
    EXPECT_NEAR(log_prob[b].item<double>(), sum / static_cast<double>(elements), 1e-12);
  }
}

TEST(LogProbs, TakesNextAsAConstant) {
  const auto next = random_latents(5, at::kDouble).requires_grad_();
  const auto mean = random_latents(6, at::kDouble).requires_grad_();
  const auto log_prob = thalweg::log_prob(next, {mean, 0.37}, gaussian).sum();
  const auto gradients = torch::autograd::grad({log_prob}, {next, mean}, {}, std::nullopt, false, true);
  EXPECT_FALSE(gradients[0].defined());
  const double elements = static_cast<double>(next[0].numel());
  const auto expected = (next - mean).detach() / (0.37 * 0.37 * elements);
  EXPECT_TRUE(at::allclose(gradients[1], expected, 1e-10, 1e-14));
}

TEST(LogProbs, OfCpsIsTheSquaredErrorAlone) {
  const auto next = random_latents(5, at::kDouble), mean = random_latents(6, at::kDouble);
  const Transition there{mean, 0.37};
  const auto plain = log_prob(next, there, squared_error);
  EXPECT_TRUE(at::allclose(plain, -(next - mean).square().flatten(1).mean(1), 1e-14, 0.0));
  // The Gaussian's, times 2 std^2, but for its constant.
  const auto scaled = (log_prob(next, there, gaussian) - gaussian(0.37).offset) * (2.0 * 0.37 * 0.37);
  EXPECT_TRUE(at::allclose(plain, scaled, 1e-12, 0.0));
}

// Autograd does not see the kernel: a step that is differentiated must not take it.
TEST(Kernels, AStepIsFusedWhereNobodyWantsItsGradient) {
  const at::Device gpu(at::kCUDA, 0);
  EXPECT_TRUE(cuda::fuses(gpu, at::kFloat, false));
  EXPECT_FALSE(cuda::fuses(gpu, at::kFloat, true));
  EXPECT_FALSE(cuda::fuses(gpu, at::kDouble, false));
  EXPECT_FALSE(cuda::fuses(at::kCPU, at::kFloat, false));
}

TEST(Kernels, GradientsFlowThroughEveryStep) {
  for (const auto& family : kernel_families()) {
    const auto step = family.kernel(0.5 * family.noise)(sd3_schedule(4, 3.0), 1);
    const auto x = at::ones({2, 1, 1, 2, 2}, at::kDouble).requires_grad_(), v = (2.0 * x).sin();
    const auto next = next_latents(x, v, at::zeros_like(x), step);
    const auto gradient = torch::autograd::grad({next.sum()}, {x})[0];
    EXPECT_NEAR(gradient[0].mean().item<double>(), step.x_scale + 2.0 * std::cos(2.0) * step.v_scale, 1e-12)
        << family.name;
  }
}

}  // namespace
}  // namespace thalweg
