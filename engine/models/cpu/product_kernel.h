// Products of small matrices, in tiles whose sums stay in registers. Included by the kernels here alone.
#pragma once

#include "engine/models/cpu/vector.h"

namespace thalweg::cpu {
namespace {

// C[m][0:n] (+)= sum over k of A(m, k) B[k][0:n]; A(m, k) = a[m * step_m + k * step_k]; n a multiple of 16.
template <int64_t kRows, int64_t kVectors, bool kAdd>
inline void tile(const float* a, int64_t step_m, int64_t step_k, const float* b, int64_t ldb, float* c,
                 int64_t ldc, int64_t depth) {
  F16 sums[kRows][kVectors] = {};
  for (int64_t k = 0; k < depth; ++k) {
    F16 row[kVectors];
    for (int64_t v = 0; v < kVectors; ++v) row[v] = load(b + k * ldb + v * kLanes);
    for (int64_t r = 0; r < kRows; ++r) {
      const F16 left = splat(a[r * step_m + k * step_k]);
      for (int64_t v = 0; v < kVectors; ++v) sums[r][v] += left * row[v];
    }
  }
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t v = 0; v < kVectors; ++v) {
      float* out = c + r * ldc + v * kLanes;
      store(out, kAdd ? load(out) + sums[r][v] : sums[r][v]);
    }
}

template <int64_t kVectors>
inline void panel(const float* a, int64_t step_m, int64_t step_k, const float* b, int64_t ldb, float* c,
                  int64_t ldc, int64_t rows, int64_t depth) {
  int64_t m = 0;
  for (; m + 4 <= rows; m += 4)
    tile<4, kVectors, false>(a + m * step_m, step_m, step_k, b, ldb, c + m * ldc, ldc, depth);
  for (; m < rows; ++m)
    tile<1, kVectors, false>(a + m * step_m, step_m, step_k, b, ldb, c + m * ldc, ldc, depth);
}

inline void product(const float* a, int64_t step_m, int64_t step_k, const float* b, int64_t ldb, float* c,
                    int64_t ldc, int64_t rows, int64_t columns, int64_t depth) {
  int64_t n = 0;
  for (; n + 64 <= columns; n += 64) panel<4>(a, step_m, step_k, b + n, ldb, c + n, ldc, rows, depth);
  for (; n + 32 <= columns; n += 32) panel<2>(a, step_m, step_k, b + n, ldb, c + n, ldc, rows, depth);
  for (; n < columns; n += kLanes) panel<1>(a, step_m, step_k, b + n, ldb, c + n, ldc, rows, depth);
}

}  // namespace
}  // namespace thalweg::cpu
