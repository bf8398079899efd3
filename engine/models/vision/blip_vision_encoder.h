// BlipVisionModel of transformers (Li et al. 2022, arXiv 2201.12086): a ViT over a class token and patches of
// the picture, all of whose features are handed on. B pictures, S the side, L tokens, D width.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/models/clip_layer.h"

namespace thalweg {

/// The defaults are transformers'.
struct BlipVisionConfig : ClipLayerConfig {
  BlipVisionConfig()
      : ClipLayerConfig{
            .hidden_size = 768, .intermediate_size = 3072, .num_attention_heads = 12, .hidden_act = "gelu"} {}

  int64_t image_size = 384, patch_size = 16;

  int64_t grid() const { return image_size / patch_size; }
};

class BlipVisionEncoder {
 public:
  using Config = BlipVisionConfig;

  /// Throws Error naming `path` and the key for what is malformed or not supported.
  static Config parse(const Json& config, const std::filesystem::path& path);
  /// `binder`: at the tower's own names ("embeddings.", "encoder.", "post_layernorm").
  static BlipVisionEncoder bind(const Config& config, Binder binder);

  /// pixels: as an ImageProcessor makes them, S = image_size -> [B,L,D], normalised; the class token is
  /// first.
  at::Tensor operator()(const at::Tensor& pixels_B3SS) const;

  const Config& config() const { return config_; }

 private:
  Config config_;
  at::Tensor class_embedding_11D_, position_embedding_1LD_;
  Conv2d to_patches_;
  std::vector<ClipLayer> layers_;
  Norm last_norm_;
};

}  // namespace thalweg
