// AutoencoderKL of diffusers (Rombach et al. 2022, arXiv 2112.10752): pictures to latents and back. SD3 and
// FLUX.1 use it with 16 channels and no quant convolutions.
#pragma once

#include <algorithm>
#include <filesystem>
#include <vector>

#include "engine/core/json.h"
#include "engine/models/vae/blocks.h"

namespace thalweg {

/// config.json of the component; the defaults are diffusers'.
struct AutoencoderKlConfig {
  int64_t in_channels = 3, out_channels = 3, latent_channels = 4;
  std::vector<int64_t> block_out_channels{64};
  int64_t layers_per_block = 1, norm_num_groups = 32;
  bool mid_block_add_attention = true, use_quant_conv = true, use_post_quant_conv = true;
  double scaling_factor = 0.18215, shift_factor = 0.0;

  /// Pixels a latent element spans along each side: 2^(levels - 1).
  int64_t factor() const { return int64_t{1} << (block_out_channels.size() - 1); }
  /// Pictures that one pass of the decoder takes: one of 1024 x 1024, whose activations are gigabytes, or as
  /// many smaller ones.
  static int64_t pictures_at_once(int64_t height, int64_t width) {
    return std::max<int64_t>(1, (int64_t{1} << 20) / (height * width));
  }
};

class AutoencoderKl {
 public:
  using Config = AutoencoderKlConfig;

  /// Throws Error naming `path` and the key for what is malformed or not supported.
  static Config parse(const Json& config, const std::filesystem::path& path);
  static AutoencoderKl bind(const Config& config, Binder binder);

  /// Pictures in [-1,1], sides divisible by factor() -> mean and log variance [B, 2C, H/factor, W/factor].
  at::Tensor encode_moments(const at::Tensor& x_BCHW) const;
  /// Raw latents (see unscaled()) -> pictures around [-1,1], not clamped.
  at::Tensor decode(const at::Tensor& z_BCHW) const;

  /// (z - shift) * scale: the VAE's latents as the flow sees them.
  at::Tensor scaled(const at::Tensor& z) const;
  /// Its inverse.
  at::Tensor unscaled(const at::Tensor& z) const;

  const Config& config() const { return config_; }

 private:
  struct Stack {
    Conv2d conv_in, conv_out;
    std::vector<VaeScale> scales;
    VaeMidBlock mid;
    Norm norm_out;
  };
  static Stack bind_encoder(const Config& config, Binder binder);
  static Stack bind_decoder(const Config& config, Binder binder);

  Config config_;
  Stack encoder_, decoder_;
  std::optional<Conv2d> quant_conv_, post_quant_conv_;
};

/// clamp(x / 2 + 1/2, 0, 1): decoded pictures as frames.
at::Tensor frames_from_pictures(const at::Tensor& x);

}  // namespace thalweg
