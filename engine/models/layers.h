// Layers as plain structs that hold their tensors. They compute in the dtype of their tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace thalweg {

/// y = x W^T + b (+ scale (x A^T) B^T with an adapter).
struct Linear {
  at::Tensor weight, bias;
  at::Tensor lora_a, lora_b;
  double lora_scale = 0.0;

  at::Tensor operator()(const at::Tensor& x) const;
};

struct Conv2d {
  at::Tensor weight, bias;
  int64_t stride = 1, padding = 0;
  at::Tensor lora_a = {}, lora_b = {};  // [r, in, kernel, kernel], [out, r, 1, 1]
  double lora_scale = 0.0;

  at::Tensor operator()(const at::Tensor& x_BCHW) const;
  /// The same product over patches that were cut out already, [..., in kernel kernel].
  Linear over_patches() const;
};

/// Parameters of a layer, group or RMS norm; weight and bias may be undefined.
struct Norm {
  at::Tensor weight, bias;
  int64_t width = 0;  // normalised features (layer, rms) or groups (group)
  double eps = 1e-5;
};

at::Tensor layer_norm(const Norm& norm, const at::Tensor& x);
at::Tensor group_norm(const Norm& norm, const at::Tensor& x);
/// x / rms(x) * weight, the mean square taken in float32 as diffusers does.
at::Tensor rms_norm(const Norm& norm, const at::Tensor& x);

enum class AttentionBackend {
  automatic,  // `matmul` on a CPU up to 128 tokens, else `fused`; the same with and without gradients
  matmul,     // softmax(q k^T / sqrt(d)) v spelt out
  fused,      // ATen's scaled_dot_product_attention
};

/// q, k, v [B, heads, L, d] -> [B, heads, L, d]; scale 1/sqrt(d).
at::Tensor attention(const at::Tensor& q_BHLD, const at::Tensor& k_BHLD, const at::Tensor& v_BHLD,
                     bool causal = false, AttentionBackend backend = AttentionBackend::automatic);

}  // namespace thalweg
