// Philox4x32-10 (Salmon et al. 2011) and the normal numbers made of it: one source for the CPU and for CUDA
// kernels, so that both draw the same bits.
#pragma once

#include <math.h>

#include <cstdint>

#ifdef __CUDACC__
#define THALWEG_HOST_DEVICE __host__ __device__
#else
#define THALWEG_HOST_DEVICE
#endif

namespace thalweg {

struct PhiloxBlock {
  uint32_t word[4];
};

/// 128 random bits for a 64-bit key and a counter.
THALWEG_HOST_DEVICE inline PhiloxBlock philox_block(uint64_t key, PhiloxBlock counter) {
  uint32_t key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter.word[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter.word[2];
    counter = {{static_cast<uint32_t>(b >> 32) ^ counter.word[1] ^ key0, static_cast<uint32_t>(b),
                static_cast<uint32_t>(a >> 32) ^ counter.word[3] ^ key1, static_cast<uint32_t>(a)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// Counter word 3 holds the purpose (high byte) and the block index (low 24 bits); words 0-1 the slot; word 2
/// the step. Slots are below 2^64, steps below 2^32.
THALWEG_HOST_DEVICE inline PhiloxBlock noise_counter(uint32_t purpose, uint64_t slot, uint64_t step,
                                                     uint32_t block) {
  return {{static_cast<uint32_t>(slot), static_cast<uint32_t>(slot >> 32), static_cast<uint32_t>(step),
           (purpose << 24) | (block & 0xFFFFFFu)}};
}

/// (0,1]: never zero, for the logarithm.
THALWEG_HOST_DEVICE inline double open_unit(uint32_t high, uint32_t low) {
  const uint64_t bits = (static_cast<uint64_t>(high) << 32 | low) >> 11;
  return (static_cast<double>(bits) + 1.0) * (1.0 / 9007199254740992.0);
}

struct NormalPair {
  double first, second;
};

/// Two standard normal numbers by Box and Muller's transform.
THALWEG_HOST_DEVICE inline NormalPair normal_pair(const PhiloxBlock& bits) {
  const double radius = sqrt(-2.0 * log(open_unit(bits.word[0], bits.word[1])));
  const double angle = 2.0 * 3.141592653589793 * open_unit(bits.word[2], bits.word[3]);
  return {radius * cos(angle), radius * sin(angle)};
}

}  // namespace thalweg
