// The passes over tokens between a block's matrix products, each one reading and writing memory once.
// Included by kernels_*.cpp alone.
#pragma once

#include <algorithm>
#include <vector>

#include "engine/models/cpu/vector.h"

namespace thalweg::cpu {
namespace {

template <typename T>
void layer_norm(const T* x, Modulation<T> shift, Modulation<T> scale, T* y, float* mean, float* rstd,
                Tokens n, float eps) {
  const auto width = static_cast<float>(n.width);
  for (int64_t row = 0; row < n.batch * n.length; ++row) {
    const T *from = x + row * n.width, *add = shift.row(row / n.length), *factor = scale.row(row / n.length);
    F16 total{};
    for (int64_t d = 0; d < n.width; d += kLanes) total += load_some(from + d, n.width - d);
    const float m = sum(total) / width;
    F16 squares{};
    int64_t d = 0;
    for (; d + kLanes <= n.width; d += kLanes) squares += (load(from + d) - m) * (load(from + d) - m);
    float rest = 0;
    for (F16 v = load_some(from + d, n.width - d); d < n.width; ++d) {
      const float e = v[d % kLanes] - m;
      rest += e * e;
    }
    const float r = 1.0F / std::sqrt((sum(squares) + rest) / width + eps);
    for (d = 0; d < n.width; d += kLanes) {
      const int64_t left = n.width - d;
      const F16 normed = (load_some(from + d, left) - m) * r;
      store_some(y + row * n.width + d,
                 normed * (load_some(factor + d, left) + 1.0F) + load_some(add + d, left), left);
    }
    mean[row] = m;
    rstd[row] = r;
  }
}

template <typename T>
void layer_norm_backward(const T* g, const T* x, Modulation<T> scale, const float* mean, const float* rstd,
                         T* g_x, T* g_shift, T* g_scale, Tokens n) {
  const bool sums = g_shift != nullptr;
  std::vector<float> shifts(sums ? static_cast<size_t>(n.width) : 0), scales(shifts);
  for (int64_t b = 0; b < n.batch; ++b) {
    const T* factor = scale.row(b);
    std::fill(shifts.begin(), shifts.end(), 0.0F);
    std::fill(scales.begin(), scales.end(), 0.0F);
    for (int64_t l = 0; l < n.length; ++l) {
      const int64_t row = b * n.length + l, at = row * n.width;
      F16 along{}, total{};
      for (int64_t d = 0; d < n.width; d += kLanes) {
        const int64_t left = n.width - d;
        const F16 gradient = load_some(g + at + d, left);
        // Beyond the row's end gradients are 0, whatever the rest is.
        const F16 normed = (load_some(x + at + d, left) - mean[row]) * rstd[row];
        const F16 g_normed = gradient * (load_some(factor + d, left) + 1.0F);
        total += g_normed;
        along += g_normed * normed;
        if (sums) {
          store_some(shifts.data() + d, load_some(shifts.data() + d, left) + gradient, left);
          store_some(scales.data() + d, load_some(scales.data() + d, left) + gradient * normed, left);
        }
      }
      const float m = sum(total) / static_cast<float>(n.width), c = sum(along) / static_cast<float>(n.width);
      for (int64_t d = 0; d < n.width; d += kLanes) {
        const int64_t left = n.width - d;
        const F16 normed = (load_some(x + at + d, left) - mean[row]) * rstd[row];
        const F16 g_normed = load_some(g + at + d, left) * (load_some(factor + d, left) + 1.0F);
        store_some(g_x + at + d, (g_normed - m - normed * c) * rstd[row], left);
      }
    }
    if (sums)
      for (int64_t d = 0; d < n.width; d += kLanes) {
        store_some(g_shift + b * n.width + d, load_some(shifts.data() + d, n.width - d), n.width - d);
        store_some(g_scale + b * n.width + d, load_some(scales.data() + d, n.width - d), n.width - d);
      }
  }
}

template <typename T>
void gated_sum(const T* x, Modulation<T> gate, const T* y, T* out, Tokens n) {
  for (int64_t row = 0; row < n.batch * n.length; ++row) {
    const T* factor = gate.row(row / n.length);
    const int64_t at = row * n.width;
    for (int64_t d = 0; d < n.width; d += kLanes) {
      const int64_t left = n.width - d;
      store_some(out + at + d,
                 load_some(x + at + d, left) + load_some(factor + d, left) * load_some(y + at + d, left),
                 left);
    }
  }
}

template <typename T>
void gated_sum_backward(const T* g, Modulation<T> gate, const T* y, T* g_y, T* g_gate, Tokens n) {
  for (int64_t b = 0; b < n.batch; ++b)
    for (int64_t d = 0; d < n.width; d += kLanes) {
      const int64_t left = n.width - d;
      const F16 factor = load_some(gate.row(b) + d, left);
      F16 total{};
      for (int64_t l = 0; l < n.length; ++l) {
        const int64_t at = (b * n.length + l) * n.width + d;
        const F16 gradient = load_some(g + at, left);
        store_some(g_y + at, gradient * factor, left);
        if (g_gate) total += gradient * load_some(y + at, left);
      }
      if (g_gate) store_some(g_gate + b * n.width + d, total, left);
    }
}

// tanh(u) = 1 - 2 / (1 + e^2u), so that 0.5 x (1 + tanh u) = x / (1 + e^-2u) with u = k (x + c x^3).
constexpr float kGeluTwoK = 2.0F * 0.79788456080286536F, kGeluC = 0.044715F;

template <typename T>
void gelu(const T* x, T* y, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const F16 v = load_some(x + i, count - i);
    const F16 u = v * kGeluTwoK * (v * v * kGeluC + 1.0F);
    store_some(y + i, v / (exponential(-u) + 1.0F), count - i);
  }
}

template <typename T>
void gelu_backward(const T* g, const T* x, T* g_x, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const F16 v = load_some(x + i, count - i);
    const F16 u = v * kGeluTwoK * (v * v * kGeluC + 1.0F);
    const F16 sigmoid = 1.0F / (exponential(-u) + 1.0F);
    const F16 slope = kGeluTwoK * (v * v * (3.0F * kGeluC) + 1.0F);
    store_some(g_x + i, load_some(g + i, count - i) * (sigmoid + v * sigmoid * (1.0F - sigmoid) * slope),
               count - i);
  }
}

}  // namespace
}  // namespace thalweg::cpu
