// CLIPTextModelWithProjection of transformers (Radford et al. 2021, arXiv 2103.00020): a causal transformer
// over token ids whose feature at the end token is projected. B prompts, L tokens, D width, P projection.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/json.h"
#include "engine/models/binder.h"

namespace thalweg {

/// config.json of the component; the defaults are transformers'.
struct ClipTextConfig {
  int64_t vocab_size = 49408, max_position_embeddings = 77;
  int64_t hidden_size = 512, intermediate_size = 2048, projection_dim = 512;
  int64_t num_hidden_layers = 12, num_attention_heads = 8;
  int64_t eos_token_id = 49407;
  double layer_norm_eps = 1e-5;
  std::string hidden_act = "quick_gelu";  // or "gelu"
};

struct ClipTextFeatures {
  at::Tensor penultimate_BLD;  // what the last layer reads: transformers' hidden_states[-2], not normalised
  at::Tensor last_BLD;         // of the last layer, normalised
  at::Tensor pooled_BP;        // the end token's feature of last_BLD, projected
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
  struct Layer {
    Norm norm1, norm2;
    Linear to_q, to_k, to_v, to_out, fc1, fc2;
  };
  static Layer bind_layer(const Config& config, Binder binder);
  at::Tensor run(const Layer& layer, const at::Tensor& x_BLD) const;
  void check(const at::Tensor& ids_BL) const;
  at::Tensor end_positions(const at::Tensor& ids_BL) const;

  Config config_;
  at::Tensor token_embedding_VD_, position_embedding_LD_;
  std::vector<Layer> layers_;
  Norm final_norm_;
  Linear projection_;
};

}  // namespace thalweg
