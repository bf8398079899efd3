// CLIPTextModelWithProjection of transformers, and the text half of its CLIPModel, which has the same names:
// a causal transformer over token ids whose feature at the end token is projected; or its CLIPTextModel,
// where it is not. B prompts, L tokens, D width, P projection.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/models/clip_layer.h"

namespace thalweg {

/// config.json of the component; the defaults are transformers'.
struct ClipTextConfig : ClipLayerConfig {
  int64_t vocab_size = 49408, max_position_embeddings = 77, projection_dim = 512;
  int64_t eos_token_id = 49407;
  bool projected = true;  // false: CLIPTextModel; no config says it, the pipeline does
};

struct ClipTextFeatures {
  at::Tensor penultimate_BLD;  // what the last layer reads: transformers' hidden_states[-2], not normalised
  at::Tensor last_BLD;         // of the last layer, normalised
  at::Tensor pooled_BP;        // the end token's feature of last_BLD; projected, or of width D
};

class ClipTextEncoder {
 public:
  using Config = ClipTextConfig;

  /// Throws Error naming `path` and the key for what is malformed or not supported.
  static Config parse(const Json& config, const std::filesystem::path& path);
  static ClipTextEncoder bind(const Config& config, Binder binder);

  /// ids: int64, L at most max_position_embeddings. Throws Error for ids outside of the vocabulary.
  ClipTextFeatures operator()(const at::Tensor& ids_BL) const;

  const Config& config() const { return config_; }

 private:
  void check(const at::Tensor& ids_BL) const;
  at::Tensor end_positions(const at::Tensor& ids_BL) const;

  Config config_;
  at::Tensor token_embedding_VD_, position_embedding_LD_;
  std::vector<ClipLayer> layers_;
  Norm final_norm_;
  Linear projection_;
};

}  // namespace thalweg
