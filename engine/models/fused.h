// What a transformer block does between its matrix products. On a CPU, in float32 and bfloat16, each is one
// pass over memory forward and one backward (engine/models/cpu); elsewhere the same mathematics in ATen's
// operations. B samples, L tokens, D width.
#pragma once

#include "engine/models/layers.h"
#include "engine/models/rotation.h"

namespace thalweg {

/// LayerNorm(x) (1 + scale) + shift over the last dimension, without parameters of its own. x [B,L,D]; shift,
/// scale [B,1,D].
at::Tensor modulated_layer_norm(const at::Tensor& x_BLD, const at::Tensor& shift_B1D,
                                const at::Tensor& scale_B1D, double eps);

/// x + gate y. x, y [B,L,D], gate [B,1,D].
at::Tensor gated_sum(const at::Tensor& x_BLD, const at::Tensor& gate_B1D, const at::Tensor& y_BLD);

/// GELU in its tanh form.
at::Tensor gelu_tanh(const at::Tensor& x);

/// silu(group_norm(x)). x [B,C,H,W].
at::Tensor group_norm_silu(const Norm& norm, const at::Tensor& x_BCHW);

/// One token stream of a joint attention: q, k, v [B,L,heads * head_dim], and the RMS norms of queries and
/// keys over head_dim (with undefined weights: not normed), and what turns them after that.
struct TokenStream {
  at::Tensor q, k, v;
  Norm norm_q, norm_k;
  Rotation rotation = {};
};

struct JointAttention {
  at::Tensor x_BLD, context_BLD;  // context: undefined without one
};

/// softmax(q k^T / sqrt(head_dim)) v over the tokens of both streams together; `context.q` may be undefined.
JointAttention joint_attention(const TokenStream& x, const TokenStream& context, int64_t heads);

/// x W^T + b + scale (x A^T) B^T; b may be undefined. x [..., in], W [out, in], A [r, in], B [out, r].
at::Tensor lora_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       const at::Tensor& a, const at::Tensor& b, double scale);

}  // namespace thalweg
