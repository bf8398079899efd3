// Building blocks of diffusers' AutoencoderKL: residual blocks, the mid block's attention, the two stacks.
// B samples, C channels, H, W: pixels at the block's own scale.
#pragma once

#include <optional>
#include <vector>

#include "engine/models/binder.h"

namespace thalweg {

inline constexpr double kVaeNormEps = 1e-6;

/// x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1 convolution on the shortcut where the channels
/// change.
struct VaeResnet {
  Norm norm1, norm2;
  Conv2d conv1, conv2;
  std::optional<Conv2d> shortcut;

  static VaeResnet bind(Binder binder, int64_t in, int64_t out, int64_t groups);
  at::Tensor operator()(const at::Tensor& x_BCHW) const;
};

/// Self-attention over all pixels, one head as wide as the channels.
struct VaeAttention {
  Norm norm;
  Linear to_q, to_k, to_v, to_out;

  static VaeAttention bind(Binder binder, int64_t channels, int64_t groups);
  at::Tensor operator()(const at::Tensor& x_BCHW) const;
};

struct VaeMidBlock {
  VaeResnet first, second;
  std::optional<VaeAttention> attention;

  static VaeMidBlock bind(Binder binder, int64_t channels, int64_t groups, bool add_attention);
  at::Tensor operator()(const at::Tensor& x_BCHW) const;
};

/// One scale of the encoder or the decoder: residual blocks, then a halving or a doubling unless it is the
/// last.
struct VaeScale {
  std::vector<VaeResnet> resnets;
  std::optional<Conv2d> resample;

  static VaeScale bind_down(Binder binder, int64_t in, int64_t out, int64_t layers, int64_t groups,
                            bool halve);
  static VaeScale bind_up(Binder binder, int64_t in, int64_t out, int64_t layers, int64_t groups, bool twice);
  at::Tensor down(at::Tensor x_BCHW) const;
  at::Tensor up(at::Tensor x_BCHW) const;
};

}  // namespace thalweg
