// The fused transition against its twin of ATen operations on the CPU.
#include "samplers/cuda/fused_transition.h"

#include <cmath>

#include "engine/core/rng.h"
#include "tests/gpu/gpu.h"
#include "tests/samplers/kernels.h"

namespace thalweg {
namespace {

class GpuTransition : public GpuTest {
 protected:
  static at::Tensor drawn(uint64_t seed, at::IntArrayRef shape) {
    return normal_noise(seed, Purpose::data, {1, 2, 3}, 0, shape);
  }
  const Schedule schedule_{{1.0, 0.9, 0.6, 0.3, 0.1, 0.0}};
  const KernelStep step_ = flow_sde(0.5)(schedule_, 2);
};

TEST_F(GpuTransition, EqualsTheCpuTwin) {
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{16, 1, 64, 64}, {4, 1, 3, 5}, {1, 1, 1, 1}}) {
    const auto x = drawn(1, shape), v = drawn(2, shape), noise = drawn(3, shape);
    for (const auto& family : kernel_families()) {
      for (int64_t i = 0; i < 4; ++i) {
        SCOPED_TRACE(family.name + " " + std::to_string(i));
        const auto step = family.kernel(family.noise)(schedule_, i);
        const auto there = transition(x, v, step);
        const auto next = at::add(there.mean_BCFHW, noise, there.std);
        const auto fused =
            cuda::fused_transition(x.to(gpu_), v.to(gpu_), noise.to(gpu_), step, family.log_prob(step.std));
        EXPECT_LE(largest_difference(fused.next_BCFHW, next), 1e-6);
        EXPECT_LE(largest_difference(fused.log_prob_B, log_prob(next, there, family.log_prob)), 1e-5);
        // And in double: the density of what was stored.
        const auto exact = log_prob(fused.next_BCFHW.to(at::kCPU, at::kDouble),
                                    transition(x.to(at::kDouble), v.to(at::kDouble), step), family.log_prob);
        EXPECT_LE(largest_difference(fused.log_prob_B, exact), 1e-5);
      }
    }
  }
}

TEST_F(GpuTransition, TakesStridedVelocities) {
  const auto x = drawn(1, {4, 1, 8, 8}).to(gpu_), noise = drawn(3, {4, 1, 8, 8}).to(gpu_);
  const auto v = drawn(2, {8, 8, 1, 4}).to(gpu_).permute({0, 4, 3, 1, 2});
  const auto strided = cuda::fused_transition(x, v, noise, step_, gaussian(step_.std));
  const auto dense = cuda::fused_transition(x, v.contiguous(), noise, step_, gaussian(step_.std));
  EXPECT_TRUE(at::equal(strided.next_BCFHW, dense.next_BCFHW));
  EXPECT_TRUE(at::equal(strided.log_prob_B, dense.log_prob_B));
}

TEST_F(GpuTransition, AStepWithoutNoiseHasNoDensity) {
  const auto x = drawn(1, {4, 1, 8, 8}).to(gpu_);
  EXPECT_THROW(cuda::fused_transition(x, x, x, {1.0, -0.3, 0.0}, {}), c10::Error);
}

TEST_F(GpuTransition, ManyRepeatsGiveTheSameBits) {
  const auto x = drawn(1, {16, 1, 64, 64}).to(gpu_), v = drawn(2, {16, 1, 64, 64}).to(gpu_);
  const auto first = cuda::fused_transition(x, v, x, step_, gaussian(step_.std));
  for (int i = 0; i < 20; ++i)
    EXPECT_TRUE(
        at::equal(cuda::fused_transition(x, v, x, step_, gaussian(step_.std)).log_prob_B, first.log_prob_B));
}

}  // namespace
}  // namespace thalweg
