#include "engine/core/rng.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace thalweg {
namespace {

// Counter word 3 holds the purpose (high byte) and the block index (low 24 bits); words 0-1 the slot;
// word 2 the step. Slots are below 2^64, steps below 2^32.
std::array<uint32_t, 4> counter_of(Purpose purpose, uint64_t slot, uint64_t step, uint32_t block) {
  return {static_cast<uint32_t>(slot), static_cast<uint32_t>(slot >> 32), static_cast<uint32_t>(step),
          (static_cast<uint32_t>(purpose) << 24) | (block & 0xFFFFFFu)};
}

std::array<uint32_t, 2> key_of(uint64_t seed) {
  return {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
}

// (0,1]: never zero, for the logarithm.
double open_unit(uint32_t high, uint32_t low) {
  const uint64_t bits = (static_cast<uint64_t>(high) << 32 | low) >> 11;
  return (static_cast<double>(bits) + 1.0) * 0x1.0p-53;
}

template <typename Scalar>
void fill_normal(Scalar* out, int64_t count, uint64_t seed, Purpose purpose, uint64_t slot, uint64_t step) {
  const auto key = key_of(seed);
  for (int64_t i = 0; i < count; i += 2) {
    const auto r = philox(key, counter_of(purpose, slot, step, static_cast<uint32_t>(i / 2)));
    const double radius = std::sqrt(-2.0 * std::log(open_unit(r[0], r[1])));
    const double angle = 2.0 * std::numbers::pi * open_unit(r[2], r[3]);
    out[i] = static_cast<Scalar>(radius * std::cos(angle));
    if (i + 1 < count) out[i + 1] = static_cast<Scalar>(radius * std::sin(angle));
  }
}

}  // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 2> key, std::array<uint32_t, 4> counter) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
  constexpr uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = kMultiplier0 * counter[0];
    const uint64_t b = kMultiplier1 * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key = {key[0] + kWeyl0, key[1] + kWeyl1};
  }
  return counter;
}

uint64_t random_bits(uint64_t seed, Purpose purpose, uint64_t slot, uint64_t step) {
  const auto r = philox(key_of(seed), counter_of(purpose, slot, step, 0));
  return static_cast<uint64_t>(r[0]) << 32 | r[1];
}

double random_uniform(uint64_t seed, Purpose purpose, uint64_t slot, uint64_t step) {
  return static_cast<double>(random_bits(seed, purpose, slot, step) >> 11) * 0x1.0p-53;
}

at::Tensor normal_noise(uint64_t seed, Purpose purpose, at::IntArrayRef slots, uint64_t step,
                        at::IntArrayRef shape, at::ScalarType dtype) {
  std::vector<int64_t> full(shape.begin(), shape.end());
  full.insert(full.begin(), static_cast<int64_t>(slots.size()));
  auto noise = at::empty(full, at::TensorOptions().dtype(dtype));
  const int64_t count = slots.empty() ? 0 : noise.numel() / static_cast<int64_t>(slots.size());
  TORCH_CHECK(count < (int64_t{1} << 25), "a sample has more elements than a noise stream");
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
