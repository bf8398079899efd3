// Attention of few tokens, a head at a time: queries, keys and values of one head fit the first-level cache,
// so scores never reach memory, and the backward computes them again. Included by kernels_*.cpp alone.
#pragma once

#include <memory>

#include "engine/models/cpu/product_kernel.h"
#include "engine/models/cpu/vector.h"

namespace thalweg::cpu {
namespace {

// One head of one sample: everything in float, rows of both streams one after the other.
struct Head {
  static constexpr int64_t kRow = kMaxHeadDim, kScores = kMaxTokens;
  alignas(64) float q[kMaxTokens * kRow], k[kMaxTokens * kRow], v[kMaxTokens * kRow];
  alignas(64) float transposed[kMaxHeadDim * kScores];  // of k, then of v
  alignas(64) float p[kMaxTokens * kScores];            // probabilities
  alignas(64) float d_p[kMaxTokens * kScores];
  alignas(64) float d_out[kMaxTokens * kRow], d_q[kMaxTokens * kRow], d_k[kMaxTokens * kRow],
      d_v[kMaxTokens * kRow];
  float q_scale[kMaxTokens], k_scale[kMaxTokens];  // 1 / rms of each row
};

// On the heap: thread-local storage of this size would be taken from every thread's stack.
inline Head& scratch() {
  static thread_local const std::unique_ptr<Head> head = std::make_unique<Head>();
  return *head;
}

template <typename T>
inline void read_rows(const T* from, int64_t stride, int64_t rows, int64_t dim, float* to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t d = 0; d < dim; d += kLanes) store(to + r * Head::kRow + d, load(from + r * stride + d));
}

template <typename T>
inline void write_rows(const float* from, int64_t stride, int64_t rows, int64_t dim, T* to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t d = 0; d < dim; d += kLanes) store(to + r * stride + d, load(from + r * Head::kRow + d));
}

// x / rms(x) * weight in place; keeps 1 / rms.
template <typename T>
inline void norm_rows(float* x, const T* weight, int64_t rows, int64_t dim, float eps, float* scale) {
  for (int64_t r = 0; r < rows; ++r) {
    float* row = x + r * Head::kRow;
    F16 squares{};
    for (int64_t d = 0; d < dim; d += kLanes) squares += load(row + d) * load(row + d);
    scale[r] = 1.0F / std::sqrt(sum(squares) / static_cast<float>(dim) + eps);
    for (int64_t d = 0; d < dim; d += kLanes) {
      const F16 normed = load(row + d) * scale[r];
      store(row + d, weight ? normed * load(weight + d) : normed);
    }
  }
}

// From the gradient of norm_rows' result to that of its argument `x` (as stored, before the norm), in place.
template <typename T>
inline void norm_rows_backward(float* g, const T* x, int64_t stride, const T* weight, int64_t rows,
                               int64_t dim, const float* scale, float* g_weight) {
  for (int64_t r = 0; r < rows; ++r) {
    float* row = g + r * Head::kRow;
    const T* source = x + r * stride;
    F16 along{};
    for (int64_t d = 0; d < dim; d += kLanes) {
      const F16 normed = load(source + d) * scale[r];
      F16 gradient = load(row + d);
      if (g_weight) store(g_weight + d, load(g_weight + d) + gradient * normed);
      if (weight) gradient = gradient * load(weight + d);
      along += gradient * normed;
      store(row + d, gradient);
    }
    const float mean = sum(along) / static_cast<float>(dim);
    for (int64_t d = 0; d < dim; d += kLanes)
      store(row + d, (load(row + d) - load(source + d) * scale[r] * mean) * scale[r]);
  }
}

// Turns neighbouring numbers as pairs in place, by the angle (sign 1) or back (sign -1).
inline void rotate_rows(float* x, const float* cos, const float* sin, int64_t rows, int64_t dim, float sign) {
  for (int64_t r = 0; r < rows; ++r) {
    float* row = x + r * Head::kRow;
    for (int64_t p = 0; p < dim / 2; ++p, ++cos, ++sin) {
      const float a = row[2 * p], b = row[2 * p + 1], s = sign * *sin;
      row[2 * p] = a * *cos - b * s;
      row[2 * p + 1] = b * *cos + a * s;
    }
  }
}

inline void transpose(const float* rows, int64_t count, int64_t dim, int64_t padded, float* to) {
  for (int64_t j = 0; j < count; ++j)
    for (int64_t d = 0; d < dim; ++d) to[d * Head::kScores + j] = rows[j * Head::kRow + d];
  for (int64_t d = 0; d < dim; ++d)
    for (int64_t j = count; j < padded; ++j) to[d * Head::kScores + j] = 0.0F;
}

inline int64_t padded(int64_t tokens) {
  return (tokens + kLanes - 1) / kLanes * kLanes;
}

// Rows of p become probabilities; columns beyond `tokens` become 0.
inline void softmax_rows(float* p, int64_t tokens, float scale) {
  const int64_t width = padded(tokens);
  for (int64_t i = 0; i < tokens; ++i) {
    float* row = p + i * Head::kScores;
    for (int64_t j = tokens; j < width; ++j) row[j] = -INFINITY;
    F16 most = splat(-INFINITY);
    for (int64_t j = 0; j < width; j += kLanes) most = largest(most, load(row + j));
    const float top = largest(most);
    F16 total{};
    for (int64_t j = 0; j < width; j += kLanes) {
      const F16 e = exponential((load(row + j) - top) * scale);
      store(row + j, e);
      total += e;
    }
    for (int64_t j = tokens; j < width; ++j) row[j] = 0.0F;
    const float inverse = 1.0F / sum(total);
    for (int64_t j = 0; j < width; j += kLanes) store(row + j, load(row + j) * inverse);
  }
}

// q, k, v of head h of sample b, and the probabilities.
template <typename T>
inline void read_head(const AttentionStream<T> streams[2], const AttentionShape& s, int64_t b, int64_t h,
                      Head& head) {
  const int64_t width = s.heads * s.head_dim;
  int64_t row = 0;
  for (int64_t i = 0; i < 2; ++i) {
    const auto& stream = streams[i];
    if (stream.length == 0) continue;
    const int64_t from = b * stream.length * width + h * s.head_dim, at = row * Head::kRow;
    read_rows(stream.q + from, width, stream.length, s.head_dim, head.q + at);
    read_rows(stream.k + from, width, stream.length, s.head_dim, head.k + at);
    read_rows(stream.v + from, width, stream.length, s.head_dim, head.v + at);
    if (s.normed) {
      norm_rows(head.q + at, stream.norm_q, stream.length, s.head_dim, s.eps, head.q_scale + row);
      norm_rows(head.k + at, stream.norm_k, stream.length, s.head_dim, s.eps, head.k_scale + row);
    }
    if (stream.cos) {
      rotate_rows(head.q + at, stream.cos, stream.sin, stream.length, s.head_dim, 1.0F);
      rotate_rows(head.k + at, stream.cos, stream.sin, stream.length, s.head_dim, 1.0F);
    }
    row += stream.length;
  }
  transpose(head.k, row, s.head_dim, padded(row), head.transposed);
  product(head.q, Head::kRow, 1, head.transposed, Head::kScores, head.p, Head::kScores, row, padded(row),
          s.head_dim);
  softmax_rows(head.p, row, 1.0F / std::sqrt(static_cast<float>(s.head_dim)));
}

template <typename T>
void attention(const AttentionStream<T> streams[2], AttentionShape s) {
  Head& head = scratch();
  const int64_t tokens = streams[0].length + streams[1].length, width = s.heads * s.head_dim;
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t h = 0; h < s.heads; ++h) {
      read_head(streams, s, b, h, head);
      product(head.p, Head::kScores, 1, head.v, Head::kRow, head.d_out, Head::kRow, tokens, s.head_dim,
              tokens);
      int64_t row = 0;
      for (int64_t i = 0; i < 2; ++i) {
        const auto& stream = streams[i];
        if (stream.out)
          write_rows(head.d_out + row * Head::kRow, width, stream.length, s.head_dim,
                     stream.out + b * stream.length * width + h * s.head_dim);
        row += stream.length;
      }
    }
}

template <typename T>
void attention_backward(const AttentionStream<T> streams[2], const AttentionGradient<T> gradients[2],
                        AttentionShape s) {
  Head& head = scratch();
  const int64_t tokens = streams[0].length + streams[1].length, width = s.heads * s.head_dim;
  const float scale = 1.0F / std::sqrt(static_cast<float>(s.head_dim));
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t h = 0; h < s.heads; ++h) {
      read_head(streams, s, b, h, head);
      int64_t row = 0;
      for (int64_t i = 0; i < 2; ++i) {
        const auto& stream = streams[i];
        float* to = head.d_out + row * Head::kRow;
        if (gradients[i].out)
          read_rows(gradients[i].out + b * stream.length * width + h * s.head_dim, width, stream.length,
                    s.head_dim, to);
        else
          std::memset(to, 0, static_cast<size_t>(stream.length * Head::kRow) * sizeof(float));
        row += stream.length;
      }
      product(head.p, 1, Head::kScores, head.d_out, Head::kRow, head.d_v, Head::kRow, tokens, s.head_dim,
              tokens);
      transpose(head.v, tokens, s.head_dim, padded(tokens), head.transposed);
      product(head.d_out, Head::kRow, 1, head.transposed, Head::kScores, head.d_p, Head::kScores, tokens,
              padded(tokens), s.head_dim);
      for (int64_t i = 0; i < tokens; ++i) {
        float *d_p = head.d_p + i * Head::kScores, *p = head.p + i * Head::kScores;
        F16 along{};
        for (int64_t j = 0; j < padded(tokens); j += kLanes) along += load(d_p + j) * load(p + j);
        const float mean = sum(along);
        for (int64_t j = 0; j < padded(tokens); j += kLanes)
          store(d_p + j, (load(d_p + j) - mean) * load(p + j) * scale);
      }
      product(head.d_p, Head::kScores, 1, head.k, Head::kRow, head.d_q, Head::kRow, tokens, s.head_dim,
              tokens);
      product(head.d_p, 1, Head::kScores, head.q, Head::kRow, head.d_k, Head::kRow, tokens, s.head_dim,
              tokens);
      row = 0;
      for (int64_t i = 0; i < 2; ++i) {
        const auto& stream = streams[i];
        const auto& g = gradients[i];
        if (stream.length == 0) continue;
        const int64_t from = b * stream.length * width + h * s.head_dim, at = row * Head::kRow;
        if (stream.cos) {
          rotate_rows(head.d_q + at, stream.cos, stream.sin, stream.length, s.head_dim, -1.0F);
          rotate_rows(head.d_k + at, stream.cos, stream.sin, stream.length, s.head_dim, -1.0F);
        }
        if (s.normed) {
          norm_rows_backward(head.d_q + at, stream.q + from, width, stream.norm_q, stream.length, s.head_dim,
                             head.q_scale + row, g.norm_q);
          norm_rows_backward(head.d_k + at, stream.k + from, width, stream.norm_k, stream.length, s.head_dim,
                             head.k_scale + row, g.norm_k);
        }
        write_rows(head.d_q + at, width, stream.length, s.head_dim, g.q + from);
        write_rows(head.d_k + at, width, stream.length, s.head_dim, g.k + from);
        write_rows(head.d_v + at, width, stream.length, s.head_dim, g.v + from);
        row += stream.length;
      }
    }
}

}  // namespace
}  // namespace thalweg::cpu
