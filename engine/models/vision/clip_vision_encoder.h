// CLIPVisionModelWithProjection of transformers, and the vision half of its CLIPModel (Radford et al. 2021,
// arXiv 2103.00020): a transformer over a class token and patches of the picture; the class token's feature
// is projected. B pictures, S the side, L tokens, D width, P projection.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/models/clip_layer.h"

namespace thalweg {

/// The defaults are transformers'.
struct ClipVisionConfig : ClipLayerConfig {
  ClipVisionConfig()
      : ClipLayerConfig{.hidden_size = 768, .intermediate_size = 3072, .num_attention_heads = 12} {}

  int64_t image_size = 224, patch_size = 32, projection_dim = 512;

  int64_t grid() const { return image_size / patch_size; }
};

class ClipVisionEncoder {
 public:
  using Config = ClipVisionConfig;

  /// Throws Error naming `path` and the key for what is malformed or not supported.
  static Config parse(const Json& config, const std::filesystem::path& path);
  static ClipVisionEncoder bind(const Config& config, Binder binder);

  /// pixels: as an ImageProcessor makes them, S = image_size. The projected features, of any length.
  at::Tensor operator()(const at::Tensor& pixels_B3SS) const;

  const Config& config() const { return config_; }

 private:
  Config config_;
  at::Tensor class_embedding_D_, patch_weight_D3KK_, position_embedding_LD_;
  Norm first_norm_, last_norm_;
  std::vector<ClipLayer> layers_;
  Linear projection_;
};

}  // namespace thalweg
