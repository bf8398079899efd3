#include "engine/core/rng.h"

#include <ATen/ATen.h>

#include "engine/core/cuda/normal_noise.h"
#include "engine/core/philox.h"

namespace thalweg {
namespace {

PhiloxBlock block_of(uint64_t seed, Purpose purpose, uint64_t slot, uint64_t step, uint32_t block) {
  return philox_block(seed, noise_counter(static_cast<uint32_t>(purpose), slot, step, block));
}

template <typename Scalar>
void fill_normal(Scalar* out, int64_t count, uint64_t seed, Purpose purpose, uint64_t slot, uint64_t step) {
  for (int64_t i = 0; i < count; i += 2) {
    const auto pair = normal_pair(block_of(seed, purpose, slot, step, static_cast<uint32_t>(i / 2)));
    out[i] = static_cast<Scalar>(pair.first);
    if (i + 1 < count) out[i + 1] = static_cast<Scalar>(pair.second);
  }
}

}  // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 2> key, std::array<uint32_t, 4> counter) {
  const auto r = philox_block(static_cast<uint64_t>(key[1]) << 32 | key[0],
                              {{counter[0], counter[1], counter[2], counter[3]}});
  return {r.word[0], r.word[1], r.word[2], r.word[3]};
}

uint64_t random_bits(uint64_t seed, Purpose purpose, uint64_t slot, uint64_t step) {
  const auto r = block_of(seed, purpose, slot, step, 0);
  return static_cast<uint64_t>(r.word[0]) << 32 | r.word[1];
}

double random_uniform(uint64_t seed, Purpose purpose, uint64_t slot, uint64_t step) {
  return static_cast<double>(random_bits(seed, purpose, slot, step) >> 11) * 0x1.0p-53;
}

at::Tensor normal_noise(uint64_t seed, Purpose purpose, at::IntArrayRef slots, uint64_t step,
                        at::IntArrayRef shape, at::ScalarType dtype, at::Device device) {
  std::vector<int64_t> full(shape.begin(), shape.end());
  full.insert(full.begin(), static_cast<int64_t>(slots.size()));
  auto noise = at::empty(full, at::TensorOptions().dtype(dtype).device(device));
  const int64_t count = slots.empty() ? 0 : noise.numel() / static_cast<int64_t>(slots.size());
  TORCH_CHECK(count < (int64_t{1} << 25), "a sample has more elements than a noise stream");
  if (device.is_cuda()) {
    cuda::fill_normal_noise(noise, seed, static_cast<uint32_t>(purpose), slots, step);
    return noise;
  }
  for (size_t i = 0; i < slots.size(); ++i) {
    const auto slot = static_cast<uint64_t>(slots[i]);
    const int64_t at = static_cast<int64_t>(i) * count;
    if (dtype == at::kDouble)
      fill_normal(noise.mutable_data_ptr<double>() + at, count, seed, purpose, slot, step);
    else
      fill_normal(noise.mutable_data_ptr<float>() + at, count, seed, purpose, slot, step);
  }
  return noise;
}

}  // namespace thalweg
