// AutoencoderKLWan of diffusers: videos to latents and back, causal in time (Wan 2.1, arXiv 2503.20314,
// section 4.1). A video of 4 k + 1 frames has k + 1 latent frames; one picture is a video of one frame.
//
// A pass takes a video whole, or in chunks of one latent frame with a memory of what came before: the same
// layers and, to rounding, the same numbers. Whole is differentiable and holds the activations of all frames;
// chunks bound them by those of four frames, whatever the length.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "engine/core/json.h"
#include "engine/models/wan/vae_blocks.h"

namespace thalweg {

/// config.json of the component; the defaults are diffusers'.
struct AutoencoderKlWanConfig {
  int64_t base_dim = 96, decoder_base_dim = 96, z_dim = 16, num_res_blocks = 2;
  int64_t in_channels = 3, out_channels = 3;
  std::vector<int64_t> dim_mult{1, 2, 4, 4};
  std::vector<bool> temporal{false, true,
                             true};  // "temperal_downsample": which halvings halve the frames too
  std::vector<double> latents_mean, latents_std;  // of each latent channel

  /// Frames that a latent frame behind the first spans.
  static constexpr int64_t kTimeFactor = 4;
  /// Pixels that a latent element spans along each side.
  int64_t factor() const { return int64_t{1} << (dim_mult.size() - 1); }
};

class AutoencoderKlWan {
 public:
  using Config = AutoencoderKlWanConfig;

  /// Throws Error naming `path` and the key for what is malformed or not supported (the residual autoencoder
  /// of Wan 2.2 among it).
  static Config parse(const Json& config, const std::filesystem::path& path);
  static AutoencoderKlWan bind(const Config& config, Binder binder);

  /// Frames in [-1,1], [B,C,4k+1,H,W], sides divisible by factor() -> mean and log variance [B,2Z,k+1,h,w].
  at::Tensor encode_moments(const at::Tensor& x_BCFHW) const;
  /// The same in chunks.
  at::Tensor encode_moments_in_chunks(const at::Tensor& x_BCFHW) const;

  /// Raw latents (see unscaled()) [B,Z,f,h,w] -> frames in [-1,1], [B,C,4f-3,H,W].
  at::Tensor decode(const at::Tensor& z_BCFHW) const;
  /// The same in chunks, each handed over in its order: first one frame, then four at a time.
  void decode_in_chunks(const at::Tensor& z_BCFHW,
                        const std::function<void(const at::Tensor& x_BCFHW)>& take) const;

  /// (z - mean) / std of each channel: the autoencoder's latents as the flow sees them.
  at::Tensor scaled(const at::Tensor& z_BCFHW) const;
  /// Its inverse.
  at::Tensor unscaled(const at::Tensor& z_BCFHW) const;

  const Config& config() const { return config_; }

 private:
  struct Stack {
    WanConv3d conv_in, conv_out;
    std::vector<WanLayer> layers;
    WanNorm norm_out;

    at::Tensor operator()(const at::Tensor& x_BCFHW, WanCache* cache) const;
  };
  static void bind_middle(Binder binder, int64_t channels, std::vector<WanLayer>& layers);
  static Stack bind_encoder(const Config& config, Binder binder);
  static Stack bind_decoder(const Config& config, Binder binder);

  Config config_;
  Stack encoder_, decoder_;
  WanConv3d quant_conv_, post_quant_conv_;
};

}  // namespace thalweg
