// A small random stream: the same numbers on every machine, started anew for every picture.
#pragma once

#include <cstdint>

namespace thalweg::scenes {

/// The finalizer of MurmurHash3 (public domain): every input bit reaches every output bit.
constexpr std::uint64_t mix_bits(std::uint64_t bits) {
  bits ^= bits >> 33;
  bits *= 0xff51afd7ed558ccdULL;
  bits ^= bits >> 33;
  bits *= 0xc4ceb9fe1a85ec53ULL;
  return bits ^ (bits >> 33);
}

/// A stream named by (seed, index); it holds no other state, so pictures can be made in any order.
class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t index) : state_(mix_bits(mix_bits(seed + kStep) + index)) {}

  std::uint64_t next() { return mix_bits(state_ += kStep); }

  /// In [0, limit); `limit` > 0. The bias of the remainder is below limit / 2^64.
  int below(int limit) { return static_cast<int>(next() % static_cast<std::uint64_t>(limit)); }

  /// In [low, high).
  float uniform(float low, float high) {
    const float unit = static_cast<float>(next() >> 40) * 0x1.0p-24F;
    return low + (high - low) * unit;
  }

 private:
  // The odd number next to 2^64 / golden ratio: steps by it visit every state.
  static constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15ULL;
  std::uint64_t state_;
};

}  // namespace thalweg::scenes
