// Building blocks of Wan's video autoencoder: convolutions that look back in time alone, and what they
// remember where a video passes in chunks. B samples, C channels, F frames, H, W: at the block's own scale.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "engine/models/binder.h"

namespace thalweg {

/// The frames that layers remember from one chunk of a video to the next, one entry a layer that looks back,
/// in the order of the pass. Where a video passes whole there is none (a null pointer), and nothing is kept.
class WanCache {
 public:
  void next_chunk() { layer_ = 0; }
  /// Of the layer whose turn it is; undefined in the first chunk.
  at::Tensor& next() {
    if (layer_ == entries_.size()) entries_.emplace_back();
    return entries_[layer_++];
  }

 private:
  std::vector<at::Tensor> entries_;
  size_t layer_ = 0;
};

/// Convolution over time and space: as many frames of zeros in front as its kernel looks back, zeros around
/// each frame.
struct WanConv3d {
  at::Tensor weight, bias;  // [out, in, time, side, side]

  static WanConv3d bind(Binder binder, const std::string& name, int64_t in, int64_t out, int64_t time,
                        int64_t side);
  /// [B,C,F,H,W] -> [B,out,F,H,W].
  at::Tensor operator()(const at::Tensor& x_BCFHW, WanCache* cache) const;
  /// Without frames in front; each second frame where `stride` is 2.
  at::Tensor valid(const at::Tensor& x_BCFHW, int64_t stride = 1) const;
};

/// x / max(|x|, 1e-12) sqrt(C) gamma, the norm over the channels (axis 1); in float32 where x is of half
/// precision.
struct WanNorm {
  at::Tensor gamma;

  static WanNorm bind(Binder binder, const std::string& name, int64_t channels, bool frames);
  at::Tensor operator()(const at::Tensor& x) const;
};

at::Tensor wan_norm_silu(const WanNorm& norm, const at::Tensor& x);

struct WanResnet {
  WanNorm norm1, norm2;
  WanConv3d conv1, conv2;
  std::optional<WanConv3d> shortcut;

  static WanResnet bind(Binder binder, int64_t in, int64_t out);
  at::Tensor operator()(const at::Tensor& x_BCFHW, WanCache* cache) const;
};

/// Self-attention among the pixels of each frame, one head as wide as the channels.
struct WanVaeAttention {
  WanNorm norm;
  Conv2d to_qkv, proj;

  static WanVaeAttention bind(Binder binder, int64_t channels);
  at::Tensor operator()(const at::Tensor& x_BCFHW, WanCache* cache) const;
};

/// Half the height and width, and with `time_conv` half the frames: the first stays alone, of F frames come
/// 1 + (F - 1) / 2.
struct WanDown {
  Conv2d conv;
  std::optional<WanConv3d> time_conv;

  static WanDown bind(Binder binder, int64_t channels, bool time);
  at::Tensor operator()(const at::Tensor& x_BCFHW, WanCache* cache) const;
};

/// Its counterpart: of F frames come 1 + 2 (F - 1) with `time_conv`; half the channels.
struct WanUp {
  Conv2d conv;
  std::optional<WanConv3d> time_conv;

  static WanUp bind(Binder binder, int64_t channels, bool time);
  at::Tensor operator()(const at::Tensor& x_BCFHW, WanCache* cache) const;
};

/// The layers of an encoder or a decoder between its first convolution and its last norm.
using WanLayer = std::variant<WanResnet, WanVaeAttention, WanDown, WanUp>;

}  // namespace thalweg
