// A sample is a function of its seed, its slot and its prompt: not of the batch it is drawn in.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "engine/models/sd3/sd3_schedule.h"
#include "samplers/guidance/cfg.h"
#include "tests/golden/small_sd3.h"
#include "tests/samplers/analytic.h"
#include "tests/samplers/kernels.h"

namespace thalweg {
namespace {

const std::vector<int64_t> kSlots = {3, 1000000007, 12, 5};

Trajectory sampled(const std::vector<int64_t>& slots, const Kernel& kernel = flow_sde(0.7)) {
  return sample_transitions(sampler_input(sd3_schedule(5, 3.0), at::kDouble, slots), kernel, {0, 2, 3});
}

void expect_rows(const Trajectory& part, const Trajectory& whole, const std::vector<int64_t>& rows) {
  const auto index = at::tensor(rows, at::kLong);
  EXPECT_TRUE(at::equal(part.x0_BCFHW, whole.x0_BCFHW.index_select(0, index)));
  ASSERT_EQ(part.latents.size(), whole.latents.size());
  for (size_t k = 0; k < part.latents.size(); ++k) {
    EXPECT_TRUE(at::equal(part.latents[k], whole.latents[k].index_select(0, index))) << k;
    EXPECT_TRUE(at::equal(part.next_latents[k], whole.next_latents[k].index_select(0, index))) << k;
  }
  EXPECT_TRUE(at::allclose(part.log_probs_TB, whole.log_probs_TB.index_select(1, index), 0.0, 1e-13));
}

TEST(Invariance, SameSeedSameSample) {
  expect_rows(sampled(kSlots), sampled(kSlots), {0, 1, 2, 3});
  auto other = sampler_input(sd3_schedule(5, 3.0), at::kDouble, kSlots);
  other.seed += 1;
  const auto different = sample_transitions(other, flow_sde(0.7));
  EXPECT_GT((different.x0_BCFHW - sampled(kSlots).x0_BCFHW).abs().flatten(1).amax(1).min().item<double>(),
            0.1);
}

TEST(Invariance, PermutedBatchesGivePermutedSamples) {
  for (const auto& [name, kernel] : noisy_kernels()) {
    SCOPED_TRACE(name);
    expect_rows(sampled({kSlots[2], kSlots[0], kSlots[3], kSlots[1]}, kernel), sampled(kSlots, kernel),
                {2, 0, 3, 1});
  }
}

TEST(Invariance, NoiseDoesNotDependOnTheSplit) {
  for (const auto& [name, kernel] : noisy_kernels()) {
    SCOPED_TRACE(name);
    const auto whole = sampled(kSlots, kernel);
    expect_rows(sampled({kSlots[0], kSlots[1], kSlots[2]}, kernel), whole, {0, 1, 2});
    for (int64_t b = 0; b < 4; ++b)
      expect_rows(sampled({kSlots[static_cast<size_t>(b)]}, kernel), whole, {b});
  }
}

TEST(Invariance, SamplesOfOneBatchDiffer) {
  const auto x0 = sampled(kSlots).x0_BCFHW;
  for (int64_t a = 0; a < 4; ++a)
    for (int64_t b = 0; b < a; ++b) EXPECT_GT((x0[a] - x0[b]).abs().max().item<double>(), 0.1);
}

// Noise of the steps is not noise of the start, even where seed and slot agree.
TEST(Invariance, StartAndStepsDrawFromDifferentStreams) {
  const auto start = normal_noise(21, Purpose::initial_noise, kSlots, 0, {1000}, at::kDouble);
  const auto step = normal_noise(21, Purpose::transition, kSlots, 0, {1000}, at::kDouble);
  EXPECT_NEAR((start * step).mean().item<double>(), 0.0, 5.0 / std::sqrt(4000.0));
}

class NetworkInvariance : public ::testing::Test {
 protected:
  at::Tensor drawn(const std::vector<int64_t>& slots, double guidance) const {
    const auto velocity =
        cfg(guidance, small_sd3_conditioning(config_, {99}))(small_sd3_velocity(config_, weights_));
    return sample_transitions({velocity, sd3_schedule(4, 3.0), small_sd3_conditioning(config_, slots),
                               small_sd3_noise(slots), slots, 1},
                              ode())
        .x0_BCFHW;
  }
  const Sd3TransformerConfig config_ = small_sd3_config();
  const TensorMap weights_ = small_sd3_weights(config_, 1);
};

TEST_F(NetworkInvariance, PermutedAndSplitBatchesAgree) {
  for (const double guidance : {1.0, 4.0}) {
    const auto whole = drawn({1, 2, 3, 4}, guidance), permuted = drawn({3, 1, 4, 2}, guidance);
    EXPECT_LT(
        (permuted - whole.index_select(0, at::tensor({2, 0, 3, 1}, at::kLong))).abs().max().item<double>(),
        1e-4);
    EXPECT_LT((drawn({2}, guidance)[0] - whole[1]).abs().max().item<double>(), 1e-4);
  }
}

TEST_F(NetworkInvariance, GuidanceOneIsTheUnguidedSamplerBitForBit) {
  const std::vector<int64_t> slots = {1, 2};
  const auto plain =
      sample_transitions({small_sd3_velocity(config_, weights_), sd3_schedule(4, 3.0),
                          small_sd3_conditioning(config_, slots), small_sd3_noise(slots), slots, 1},
                         ode())
          .x0_BCFHW;
  EXPECT_TRUE(at::equal(drawn(slots, 1.0), plain));
  EXPECT_FALSE(at::allclose(drawn(slots, 2.0), plain, 0.0, 1e-3));
}

}  // namespace
}  // namespace thalweg
