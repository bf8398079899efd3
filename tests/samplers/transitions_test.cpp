// The sampler of every kernel: steps without noise, windows, what is stored.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/models/sd3/sd3_schedule.h"
#include "pipelines/training/updates.h"
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

}  // namespace
}  // namespace thalweg
