// Sixteen floats at a time, in the compiler's own vector types: each instruction set's translation unit turns
// them into its registers. Included by kernels_*.cpp alone.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "engine/models/cpu/kernels.h"

namespace thalweg::cpu {
namespace {

constexpr int64_t kLanes = 16;
using F16 = float __attribute__((vector_size(64)));
using I16 = int32_t __attribute__((vector_size(64)));
using U16 = uint32_t __attribute__((vector_size(64)));
using Half = uint16_t __attribute__((vector_size(32)));

inline F16 load(const float* p) {
  F16 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline void store(float* p, F16 v) {
  std::memcpy(p, &v, sizeof v);
}

inline F16 load(const BFloat16* p) {
  Half half;
  std::memcpy(&half, p, sizeof half);
  const U16 wide = __builtin_convertvector(half, U16) << 16;
  F16 v;
  std::memcpy(&v, &wide, sizeof v);
  return v;
}

// To the nearest, ties to even; a NaN keeps a bit of its payload.
inline void store(BFloat16* p, F16 v) {
  U16 bits;
  std::memcpy(&bits, &v, sizeof bits);
  const U16 rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const U16 nan = (bits >> 16) | 0x40;
  const U16 chosen = v == v ? rounded : nan;
  const Half half = __builtin_convertvector(chosen, Half);
  std::memcpy(p, &half, sizeof half);
}

// The last, incomplete group of a row, of `count` elements: it is copied to and from full ones.
template <typename T>
inline F16 load_some(const T* p, int64_t count) {
  if (count >= kLanes) return load(p);
  T padded[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) padded[i] = p[i];
  return load(padded);
}

template <typename T>
inline void store_some(T* p, F16 v, int64_t count) {
  if (count >= kLanes) return store(p, v);
  T padded[kLanes];
  store(padded, v);
  for (int64_t i = 0; i < count; ++i) p[i] = padded[i];
}

inline F16 splat(float x) {
  return x - F16{};
}

// By halves: the same tree everywhere.
inline float sum(F16 v) {
  float x[kLanes];
  store(x, v);
  for (int64_t n = kLanes / 2; n > 0; n /= 2)
    for (int64_t i = 0; i < n; ++i) x[i] += x[i + n];
  return x[0];
}

inline F16 largest(F16 a, F16 b) {
  return a > b ? a : b;
}

inline float largest(F16 v) {
  float x[kLanes];
  store(x, v);
  float most = x[0];
  for (int64_t i = 1; i < kLanes; ++i) most = x[i] > most ? x[i] : most;
  return most;
}

// e^x: 2^n times a polynomial of degree 6 on [-ln 2 / 2, ln 2 / 2] (Taylor, 2e-8 there). Below -87 it is 0 to
// within the least normal number, above 88 it is 1.6e38; NaN stays NaN.
inline F16 exponential(F16 x) {
  const F16 low = splat(-87.0F), high = splat(88.0F);
  const F16 bounded = x < low ? low : (x > high ? high : x);
  const F16 magic = splat(12582912.0F);  // 1.5 * 2^23: adding it rounds to a whole number
  const F16 n = (bounded * 1.44269504088896341F + magic) - magic;
  const F16 r = (bounded - n * 0.693359375F) + n * 2.12194440e-4F;
  F16 p = splat(1.0F / 720);
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const I16 exponent = (__builtin_convertvector(n, I16) + 127) << 23;
  F16 power;
  std::memcpy(&power, &exponent, sizeof power);
  const F16 result = p * power;
  return x == x ? result : x;
}

}  // namespace
}  // namespace thalweg::cpu
