// Fused CPU loops of a transformer block, over raw row-major arrays: no LibTorch in them, so that the same
// source is compiled once for each instruction set and picked as ATen picks its own when the program runs.
// Sums and products are float whatever the elements are, in an order that depends on the sizes alone: one
// thread, the same bits each time.
#pragma once

#include <cstdint>

namespace thalweg::cpu {

/// The upper half of a float, as a tensor of bfloat16 stores it.
struct BFloat16 {
  uint16_t bits;
};

/// A row a sample inside a wider array: part of an adaptive layer norm's output.
template <typename T>
struct Modulation {
  const T* data = nullptr;
  int64_t stride = 0;  // elements from one sample to the next
  const T* row(int64_t b) const { return data + b * stride; }
};

struct Tokens {
  int64_t batch = 0, length = 0, width = 0;
};

/// Normalised over `groups` of neighbouring channels; [batch, channels, pixels] or, interleaved, [batch,
/// pixels, channels].
struct Pictures {
  int64_t batch = 0, channels = 0, pixels = 0, groups = 0;
};

/// Joint attention of one or two token streams. Rows of q, k, v and out are [B, length, heads * head_dim].
template <typename T>
struct AttentionStream {
  int64_t length = 0;  // 0: absent
  const T *q = nullptr, *k = nullptr, *v = nullptr;
  const T *norm_q = nullptr, *norm_k = nullptr;  // RMS norm weights [head_dim]; null: none
  const float *cos = nullptr, *sin = nullptr;    // of queries' and keys' pairs [length, head_dim / 2]
  T* out = nullptr;
};

template <typename T>
struct AttentionGradient {
  const T* out = nullptr;  // null: this stream's output was not used
  T *q = nullptr, *k = nullptr, *v = nullptr;
  float *norm_q = nullptr, *norm_k = nullptr;  // [head_dim], added to; null: not wanted
};

struct AttentionShape {
  int64_t batch = 0, heads = 0, head_dim = 0;  // head_dim: a multiple of 16, at most kMaxHeadDim
  bool normed = false;
  float eps = 0;
};
inline constexpr int64_t kMaxHeadDim = 128, kMaxTokens = 128;

template <typename T>
struct Kernels {
  /// y = (x - mean) rstd (1 + scale) + shift; mean and rstd [B * length] are kept for the backward.
  void (*layer_norm)(const T* x, Modulation<T> shift, Modulation<T> scale, T* y, float* mean, float* rstd,
                     Tokens n, float eps);
  /// g_shift and g_scale [B, width] may be null.
  void (*layer_norm_backward)(const T* g, const T* x, Modulation<T> scale, const float* mean,
                              const float* rstd, T* g_x, T* g_shift, T* g_scale, Tokens n);
  /// x + gate y.
  void (*gated_sum)(const T* x, Modulation<T> gate, const T* y, T* out, Tokens n);
  /// g_y = g gate, g_gate [B, width] = sum over tokens of g y; g_gate may be null.
  void (*gated_sum_backward)(const T* g, Modulation<T> gate, const T* y, T* g_y, T* g_gate, Tokens n);
  /// The tanh form of GELU.
  void (*gelu)(const T* x, T* y, int64_t count);
  void (*gelu_backward)(const T* g, const T* x, T* g_x, int64_t count);
  /// silu(group_norm(x) weight + bias); weight and bias [channels]. mean and rstd [batch * groups] are kept
  /// for the backward; they may be null together. Interleaved: channels are a multiple of 16.
  using GroupNorm = void (*)(const T* x, const T* weight, const T* bias, T* y, float* mean, float* rstd,
                             Pictures n, float eps);
  GroupNorm group_norm_silu, group_norm_silu_interleaved;
  /// g_weight and g_bias [channels] are added to; they may be null together.
  using GroupNormBackward = void (*)(const T* g, const T* x, const T* weight, const T* bias,
                                     const float* mean, const float* rstd, T* g_x, float* g_weight,
                                     float* g_bias, Pictures n);
  GroupNormBackward group_norm_silu_backward, group_norm_silu_backward_interleaved;
  /// softmax(q k^T / sqrt(head_dim)) v over the tokens of both streams, at most kMaxTokens together.
  void (*attention)(const AttentionStream<T> streams[2], AttentionShape shape);
  void (*attention_backward)(const AttentionStream<T> streams[2], const AttentionGradient<T> gradients[2],
                             AttentionShape shape);
};

/// The fastest set that this processor runs. T: float or BFloat16.
template <typename T>
const Kernels<T>& kernels();

}  // namespace thalweg::cpu
