#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <numbers>

#include "engine/models/sd3/sd3_model.h"
#include "pipelines/align/context.h"
#include "tests/samplers/analytic.h"
#include "tests/samplers/kernels.h"

namespace thalweg {
namespace {

// Euler steps [begin, end) of the ODE from `x`, written out.
at::Tensor euler_by_hand(const SamplerInput& input, int64_t begin, int64_t end, at::Tensor x = {}) {
  if (!x.defined()) x = input.x_BCFHW;
  for (int64_t i = begin; i < end; ++i) {
    const auto v = input.velocity(x, step_at(input.schedule, i, input.slot_B), input.conditioning);
    const auto k = static_cast<size_t>(i);
    x = at::add(x, v, input.schedule.sigmas[k + 1] - input.schedule.sigmas[k]);
  }
  return x;
}

TEST(Kernels, NoNoiseIsEulerBitForBit) {
  const auto schedule = sd3_schedule(10, 3.0);
  for (const auto& family : kernel_families()) {
    SCOPED_TRACE(family.name);
    const auto kernel = family.kernel(0.0);
    for (int64_t i = 0; i < schedule.steps(); ++i) {
      const auto step = kernel(schedule, i), expected = euler(schedule, i);
      EXPECT_EQ(step.x_scale, expected.x_scale) << i;
      EXPECT_EQ(step.v_scale, expected.v_scale) << i;
      EXPECT_EQ(step.std, 0.0) << i;
    }
    for (const auto dtype : {at::kFloat, at::kDouble}) {
      const auto input = sampler_input(schedule, dtype);
      EXPECT_TRUE(at::equal(sample_transitions(input, kernel).x0_BCFHW, euler_by_hand(input, 0, 10)));
    }
  }
}

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
  const auto log_prob = gaussian_log_prob(next, {mean, std});
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
  const auto log_prob = gaussian_log_prob(next, {mean, 0.37}).sum();
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
  const auto scaled = (gaussian_log_prob(next, there) - gaussian(0.37).offset) * (2.0 * 0.37 * 0.37);
  EXPECT_TRUE(at::allclose(plain, scaled, 1e-12, 0.0));
}

TEST(Transitions, StepsWithoutNoiseHaveNoLogProb) {
  const auto schedule = sd3_schedule(4, 3.0);
  const auto x = random_latents(7, at::kDouble);
  for (const auto& family : kernel_families()) {
    EXPECT_THROW(log_prob(x, transition(x, x, family.kernel(0.0)(schedule, 1)), family.log_prob), c10::Error);
    EXPECT_THROW(sample_transitions(sampler_input(schedule, at::kDouble), family.kernel(0.0), {0, 1}),
                 c10::Error);
  }
  // These two draw nothing in the last step.
  for (const auto& kernel : {cps(0.8), memoryless()})
    EXPECT_THROW(sample_transitions(sampler_input(schedule, at::kDouble), kernel, {2, 3}), c10::Error);
  // Outside of a window nothing is kept, so there is nothing to ask a density for.
  const auto plain =
      sample_transitions(sampler_input(schedule, at::kDouble), windowed(flow_sde(0.7), {0, 0}));
  EXPECT_FALSE(plain.log_probs_TB.defined());
  EXPECT_TRUE(plain.latents.empty());
}

TEST(Transitions, WindowDrawsNoiseInsideOnly) {
  const auto input = sampler_input(sd3_schedule(6, 3.0), at::kDouble);
  for (const auto& [name, kernel] : noisy_kernels()) {
    SCOPED_TRACE(name);
    const auto trajectory = sample_transitions(input, windowed(kernel, {2, 4}), {2, 3});
    ASSERT_EQ(trajectory.latents.size(), 2u);
    ASSERT_EQ(trajectory.next_latents.size(), 2u);
    EXPECT_EQ(trajectory.log_probs_TB.sizes(), at::IntArrayRef({2, input.x_BCFHW.size(0)}));
    EXPECT_TRUE(at::equal(trajectory.latents[0], euler_by_hand(input, 0, 2)));
    EXPECT_TRUE(at::equal(trajectory.next_latents[0], trajectory.latents[1]));
    EXPECT_FALSE(at::allclose(trajectory.latents[1], euler_by_hand(input, 2, 3, trajectory.latents[0])));
    EXPECT_TRUE(at::equal(trajectory.x0_BCFHW, euler_by_hand(input, 4, 6, trajectory.next_latents[1])));
  }
}

TEST(Transitions, TellTheVelocityTheirKernel) {
  const auto kernel = windowed(flow_sde(0.7), {1, 3});
  auto input = sampler_input(sd3_schedule(4, 3.0), at::kDouble);
  int64_t calls = 0;
  const auto inner = input.velocity;
  input.velocity = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    const auto expected = kernel(input.schedule, calls++);
    EXPECT_EQ(step.kernel.x_scale, expected.x_scale);
    EXPECT_EQ(step.kernel.v_scale, expected.v_scale);
    EXPECT_EQ(step.kernel.std, expected.std);
    return inner(x, step, c);
  };
  sample_transitions(input, kernel);
  EXPECT_EQ(calls, 4);
}

TEST(Transitions, StoredLogProbsAreThoseOfTheStoredLatents) {
  const auto schedule = sd3_schedule(6, 3.0);
  const auto input = sampler_input(schedule, at::kDouble);
  const std::vector<int64_t> trained = {1, 3, 4};
  for (const auto& family : kernel_families()) {
    SCOPED_TRACE(family.name);
    const auto kernel = family.kernel(family.noise);
    const auto t = sample_transitions(input, kernel, trained, family.log_prob);
    ASSERT_EQ(t.trained_steps, trained);
    for (size_t k = 0; k < trained.size(); ++k) {
      const auto step = step_of(kernel, schedule, trained[k], input.slot_B);
      const auto there =
          transition(t.latents[k], input.velocity(t.latents[k], step, input.conditioning), step.kernel);
      EXPECT_TRUE(at::equal(log_prob(t.next_latents[k], there, family.log_prob),
                            t.log_probs_TB[static_cast<int64_t>(k)]));
      // What was drawn is standard normal once the mean is gone: the noise of this step and of no other.
      const auto z = (t.next_latents[k] - there.mean_BCFHW) / there.std;
      const auto noise =
          normal_noise(input.seed, Purpose::transition, input.slot_B, static_cast<uint64_t>(trained[k]),
                       input.x_BCFHW.sizes().slice(1), at::kDouble);
      EXPECT_LT((z - noise).abs().max().item<double>(), 1e-9);
    }
  }
}

TEST(TrainedSteps, NeverIncludeTheLast) {
  for (int64_t steps = 1; steps <= 12; ++steps)
    for (int64_t begin = 0; begin <= steps; ++begin)
      for (int64_t end = begin; end <= steps; ++end) {
        const auto trained = trained_steps({begin, end}, steps);
        EXPECT_TRUE(std::is_sorted(trained.begin(), trained.end()));
        EXPECT_EQ(trained.size(),
                  static_cast<size_t>(std::max<int64_t>(std::min(end, steps - 1) - begin, 0)));
        for (const auto i : trained) EXPECT_TRUE(i >= begin && i < end && i < steps - 1);
      }
}

TEST(StepWindow, RandomStartsCoverTheRangeAndRepeat) {
  SamplerSection sampler;
  sampler.steps = 10;
  sampler.window_size = 3;
  sampler.window_begin = 1;
  sampler.window_policy = "random";
  std::set<int64_t> starts;
  for (int64_t iteration = 0; iteration < 200; ++iteration) {
    const auto window = step_window(sampler, 5, iteration);
    EXPECT_EQ(window.end - window.begin, 3);
    EXPECT_EQ(step_window(sampler, 5, iteration).begin, window.begin);
    starts.insert(window.begin);
  }
  EXPECT_EQ(starts, (std::set<int64_t>{1, 2, 3, 4, 5, 6, 7}));
  sampler.window_policy = "fixed";
  EXPECT_EQ(step_window(sampler, 5, 9).begin, 1);
  sampler.window_size = 0;
  for (const auto* policy : {"fixed", "random", "progressive", "decay"}) {  // to the end: one place
    sampler.window_policy = policy;
    EXPECT_EQ(step_window(sampler, 5, 9).begin, 1) << policy;
    EXPECT_EQ(step_window(sampler, 5, 9).end, 10) << policy;
  }
}

}  // namespace
}  // namespace thalweg
