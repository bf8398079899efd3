// The fused Flow-SDE step against its twin of ATen operations on the CPU.
#include "samplers/flow_sde.h"

#include <cmath>

#include "engine/core/rng.h"
#include "samplers/cuda/fused_flow_sde.h"
#include "tests/gpu/gpu.h"

namespace thalweg {
namespace {

class GpuFlowSde : public GpuTest {
 protected:
  static at::Tensor drawn(uint64_t seed, at::IntArrayRef shape) {
    return normal_noise(seed, Purpose::data, {1, 2, 3}, 0, shape);
  }
  const Schedule schedule_{{1.0, 0.9, 0.6, 0.3, 0.1, 0.0}};
};

TEST_F(GpuFlowSde, EqualsTheCpuTwin) {
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{16, 1, 64, 64}, {4, 1, 3, 5}, {1, 1, 1, 1}}) {
    const auto x = drawn(1, shape), v = drawn(2, shape), noise = drawn(3, shape);
    for (int64_t i = 0; i < 4; ++i) {
      const auto transition = flow_sde_transition(x, v, schedule_, i, 0.7);
      const auto next = at::add(transition.mean_BCFHW, noise, transition.std);
      const auto s = static_cast<size_t>(i);
      const auto fused = cuda::fused_flow_sde(x.to(gpu_), v.to(gpu_), noise.to(gpu_), schedule_.sigmas[s],
                                              schedule_.sigmas[s + 1], flow_sde_diffusion(schedule_, i, 0.7));
      EXPECT_LE(largest_difference(fused.next_BCFHW, next), 1e-6) << i;
      EXPECT_LE(largest_difference(fused.log_prob_B, gaussian_log_prob(next, transition)), 1e-5) << i;
      // And in double: the density of what was stored.
      const auto mean = flow_sde_transition(x.to(at::kDouble), v.to(at::kDouble), schedule_, i, 0.7);
      const auto exact = gaussian_log_prob(fused.next_BCFHW.to(at::kCPU, at::kDouble), mean);
      EXPECT_LE(largest_difference(fused.log_prob_B, exact), 1e-5) << i;
    }
  }
}

TEST_F(GpuFlowSde, TakesStridedVelocities) {
  const auto x = drawn(1, {4, 1, 8, 8}).to(gpu_), noise = drawn(3, {4, 1, 8, 8}).to(gpu_);
  const auto v = drawn(2, {8, 8, 1, 4}).to(gpu_).permute({0, 4, 3, 1, 2});
  const auto strided = cuda::fused_flow_sde(x, v, noise, 0.6, 0.3, 0.5);
  const auto dense = cuda::fused_flow_sde(x, v.contiguous(), noise, 0.6, 0.3, 0.5);
  EXPECT_TRUE(at::equal(strided.next_BCFHW, dense.next_BCFHW));
  EXPECT_TRUE(at::equal(strided.log_prob_B, dense.log_prob_B));
}

TEST_F(GpuFlowSde, AStepWithoutNoiseHasNoDensity) {
  const auto x = drawn(1, {4, 1, 8, 8}).to(gpu_);
  const auto fused = cuda::fused_flow_sde(x, x, x, 0.6, 0.3, 0.0);
  EXPECT_TRUE(fused.log_prob_B.isnan().all().item<bool>());
  EXPECT_LE(largest_difference(fused.next_BCFHW, at::add(x, x, -0.3)), 1e-6);
}

TEST_F(GpuFlowSde, ManyRepeatsGiveTheSameBits) {
  const auto x = drawn(1, {16, 1, 64, 64}).to(gpu_), v = drawn(2, {16, 1, 64, 64}).to(gpu_);
  const auto first = cuda::fused_flow_sde(x, v, x, 0.6, 0.3, 0.5);
  for (int i = 0; i < 20; ++i)
    EXPECT_TRUE(at::equal(cuda::fused_flow_sde(x, v, x, 0.6, 0.3, 0.5).log_prob_B, first.log_prob_B));
}

}  // namespace
}  // namespace thalweg
