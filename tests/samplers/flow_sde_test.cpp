#include "samplers/flow_sde.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <numbers>

#include "engine/models/sd3/sd3_model.h"
#include "pipelines/align/context.h"
#include "samplers/flow_ode.h"
#include "tests/samplers/analytic.h"

namespace thalweg {
namespace {

TEST(FlowSde, NoiseLevelZeroIsEulerBitForBit) {
  const auto schedule = sd3_schedule(10, 3.0);
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const auto x = random_latents(1, dtype), v = random_latents(2, dtype);
    for (int64_t i = 0; i < schedule.steps(); ++i) {
      const auto step = flow_sde_transition(x, v, schedule, i, 0.0);
      const auto at_i = static_cast<size_t>(i);
      EXPECT_TRUE(
          at::equal(step.mean_BCFHW, euler_step(x, v, schedule.sigmas[at_i], schedule.sigmas[at_i + 1])))
          << i;
      EXPECT_EQ(step.std, 0.0);
    }
    const auto input = sampler_input(schedule, dtype);
    const auto trajectory = sample_flow_sde(input, 0.0, {0, schedule.steps()}, {});
    EXPECT_TRUE(at::equal(trajectory.x0_BCFHW, sample_flow_ode(input)));
  }
}

TEST(FlowSde, VelocityHasAConstantPrefactor) {
  const auto schedule = sd3_schedule(10, 3.0);
  for (const double a : {0.3, 0.7, 1.2}) {
    for (int64_t i = 0; i < schedule.steps(); ++i) {
      const auto v = random_latents(3, at::kDouble).requires_grad_();
      const auto mean = flow_sde_transition(random_latents(4, at::kDouble), v, schedule, i, a).mean_BCFHW;
      const auto slope = torch::autograd::grad({mean.sum()}, {v})[0];
      const double dt = schedule.sigmas[static_cast<size_t>(i) + 1] - schedule.sigmas[static_cast<size_t>(i)];
      // At s = 1 the extra drift (1-s) g^2/(2s) is nothing.
      const double expected = i == 0 ? dt : (1.0 + a * a / 2.0) * dt;
      EXPECT_LT((slope - expected).abs().max().item<double>(), 1e-12) << "step " << i << ", a = " << a;
    }
  }
}

TEST(FlowSde, LogProbIsTheMeanGaussianDensity) {
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

TEST(FlowSde, LogProbTakesNextAsAConstant) {
  const auto next = random_latents(5, at::kDouble).requires_grad_();
  const auto mean = random_latents(6, at::kDouble).requires_grad_();
  const auto log_prob = gaussian_log_prob(next, {mean, 0.37}).sum();
  const auto gradients = torch::autograd::grad({log_prob}, {next, mean}, {}, std::nullopt, false, true);
  EXPECT_FALSE(gradients[0].defined());
  const double elements = static_cast<double>(next[0].numel());
  const auto expected = (next - mean).detach() / (0.37 * 0.37 * elements);
  EXPECT_TRUE(at::allclose(gradients[1], expected, 1e-10, 1e-14));
}

TEST(FlowSde, StepsWithoutNoiseHaveNoLogProb) {
  const auto schedule = sd3_schedule(4, 3.0);
  const auto x = random_latents(7, at::kDouble);
  EXPECT_THROW(gaussian_log_prob(x, flow_sde_transition(x, x, schedule, 1, 0.0)), c10::Error);
  EXPECT_THROW(sample_flow_sde(sampler_input(schedule, at::kDouble), 0.0, {0, 4}, {0, 1}), c10::Error);
  // Outside of the window nothing is kept, so there is nothing to ask a density for.
  const auto ode = sample_flow_sde(sampler_input(schedule, at::kDouble), 0.7, {0, 0}, {});
  EXPECT_FALSE(ode.log_probs_TB.defined());
  EXPECT_TRUE(ode.latents.empty());
}

TEST(FlowSde, WindowDrawsNoiseInsideOnly) {
  const auto schedule = sd3_schedule(6, 3.0);
  const auto input = sampler_input(schedule, at::kDouble);
  const auto trajectory = sample_flow_sde(input, 0.7, {2, 4}, {2, 3});
  ASSERT_EQ(trajectory.latents.size(), 2u);
  ASSERT_EQ(trajectory.next_latents.size(), 2u);
  EXPECT_EQ(trajectory.log_probs_TB.sizes(), at::IntArrayRef({2, input.x_BCFHW.size(0)}));
  auto x = input.x_BCFHW;
  const auto euler = [&](int64_t i) {
    const auto v = input.velocity(x, step_at(schedule, i, input.slot_B), input.conditioning);
    return euler_step(x, v, schedule.sigmas[static_cast<size_t>(i)],
                      schedule.sigmas[static_cast<size_t>(i) + 1]);
  };
  for (const int64_t i : {0, 1}) x = euler(i);
  EXPECT_TRUE(at::equal(trajectory.latents[0], x));
  EXPECT_TRUE(at::equal(trajectory.next_latents[0], trajectory.latents[1]));
  x = trajectory.next_latents[1];
  for (const int64_t i : {4, 5}) x = euler(i);
  EXPECT_TRUE(at::equal(trajectory.x0_BCFHW, x));
}

TEST(FlowSde, StoredLogProbsAreThoseOfTheStoredLatents) {
  const auto schedule = sd3_schedule(6, 3.0);
  const auto input = sampler_input(schedule, at::kDouble);
  const std::vector<int64_t> trained = {1, 3, 4};
  const auto t = sample_flow_sde(input, 0.7, {0, 6}, trained);
  ASSERT_EQ(t.trained_steps, trained);
  for (size_t k = 0; k < trained.size(); ++k) {
    const auto v =
        input.velocity(t.latents[k], step_at(schedule, trained[k], input.slot_B), input.conditioning);
    const auto transition = flow_sde_transition(t.latents[k], v, schedule, trained[k], 0.7);
    EXPECT_TRUE(
        at::equal(gaussian_log_prob(t.next_latents[k], transition), t.log_probs_TB[static_cast<int64_t>(k)]));
    // What was drawn is standard normal once the mean is gone: the noise of this step and of no other.
    const auto z = (t.next_latents[k] - transition.mean_BCFHW) / transition.std;
    const auto noise =
        normal_noise(input.seed, Purpose::transition, input.slot_B, static_cast<uint64_t>(trained[k]),
                     input.x_BCFHW.sizes().slice(1), at::kDouble);
    EXPECT_LT((z - noise).abs().max().item<double>(), 1e-9);
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
  sampler.window_random = true;
  std::set<int64_t> starts;
  for (int64_t iteration = 0; iteration < 200; ++iteration) {
    const auto window = step_window(sampler, 5, iteration);
    EXPECT_EQ(window.end - window.begin, 3);
    EXPECT_EQ(step_window(sampler, 5, iteration).begin, window.begin);
    starts.insert(window.begin);
  }
  EXPECT_EQ(starts, (std::set<int64_t>{1, 2, 3, 4, 5, 6, 7}));
  sampler.window_random = false;
  EXPECT_EQ(step_window(sampler, 5, 9).begin, 1);
  sampler.window_size = 0;
  EXPECT_EQ(step_window(sampler, 5, 9).begin, 0);
  EXPECT_EQ(step_window(sampler, 5, 9).end, 10);
}

}  // namespace
}  // namespace thalweg
