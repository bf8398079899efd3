// normal_noise on a GPU draws what it draws on the CPU.
#include "engine/core/rng.h"
#include "tests/gpu/gpu.h"

namespace thalweg {
namespace {

using GpuNoise = GpuTest;

std::vector<int64_t> many_slots(int64_t count) {
  std::vector<int64_t> slots;
  for (int64_t i = 0; i < count; ++i) slots.push_back(i * 7919 + (i << 40));
  return slots;
}

TEST_F(GpuNoise, EqualsTheCpuTwin) {
  const std::vector<int64_t> slots = {0, 1, 77, int64_t{1} << 62};
  const auto cpu = normal_noise(3, Purpose::transition, slots, 9, {16, 1, 64, 64});
  const auto gpu = normal_noise(3, Purpose::transition, slots, 9, {16, 1, 64, 64}, at::kFloat, gpu_);
  EXPECT_TRUE(gpu.is_cuda());
  EXPECT_LE(largest_difference(gpu, cpu), 1e-6);
  EXPECT_GT(gpu.to(at::kCPU).eq(cpu).to(at::kDouble).mean().item<double>(), 0.999);
}

TEST_F(GpuNoise, EqualsTheCpuTwinInDouble) {
  const auto cpu = normal_noise(4, Purpose::initial_noise, {5, 6}, 0, {1000}, at::kDouble);
  const auto gpu = normal_noise(4, Purpose::initial_noise, {5, 6}, 0, {1000}, at::kDouble, gpu_);
  EXPECT_LE(largest_difference(gpu, cpu), 1e-14);
}

TEST_F(GpuNoise, ManyRowsOfOddLength) {
  const auto slots = many_slots(600);  // three launches
  const auto cpu = normal_noise(5, Purpose::data, slots, 1, {33});
  const auto gpu = normal_noise(5, Purpose::data, slots, 1, {33}, at::kFloat, gpu_);
  EXPECT_LE(largest_difference(gpu, cpu), 1e-6);
}

TEST_F(GpuNoise, NoRowsAndOneElement) {
  EXPECT_EQ(normal_noise(5, Purpose::data, {}, 1, {33}, at::kFloat, gpu_).numel(), 0);
  const auto gpu = normal_noise(5, Purpose::data, {8}, 1, {1}, at::kFloat, gpu_);
  EXPECT_LE(largest_difference(gpu, normal_noise(5, Purpose::data, {8}, 1, {1})), 1e-6);
}

}  // namespace
}  // namespace thalweg
