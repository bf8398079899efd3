// T5EncoderModel of transformers (Raffel et al. 2020, arXiv 1910.10683; v1.1's gated feed-forward: Shazeer
// 2020, arXiv 2002.05202): attention without scaling, over a bias learnt for each bucket of distances, which
// all layers share. And UMT5EncoderModel (Chung et al. 2023, arXiv 2304.09151): each layer has a bias of its
// own. B prompts, L tokens, D = d_model.
#pragma once

#include <filesystem>

#include "engine/core/json.h"
#include "engine/models/binder.h"

namespace thalweg {

/// config.json of the component; the defaults are transformers'.
struct T5EncoderConfig {
  int64_t vocab_size = 32128, d_model = 512, d_kv = 64, d_ff = 2048;
  int64_t num_layers = 6, num_heads = 8;
  int64_t relative_attention_num_buckets = 32, relative_attention_max_distance = 128;
  double layer_norm_epsilon = 1e-6;
  bool gated = false;              // "gated-..." of feed_forward_proj
  bool own_position_bias = false;  // of each layer: "model_type" umt5
  at::Tensor (*activation)(const at::Tensor&) = nullptr;
};

/// No attention mask: a padded token takes part, as in diffusers' pipelines.
///
/// In float16 transformers keeps `wo` in float32 and clamps what overflows. Neither is done here: models
/// compute in float32 or bfloat16, whose range needs neither (transformers does neither there).
class T5Encoder {
 public:
  using Config = T5EncoderConfig;

  /// Throws Error naming `path` and the key for what is malformed or not supported.
  static Config parse(const Json& config, const std::filesystem::path& path);
  static T5Encoder bind(const Config& config, Binder binder);

  /// ids: int64. Returns the last layer's features, normalised, [B,L,D]. Throws Error for ids outside of the
  /// vocabulary.
  at::Tensor operator()(const at::Tensor& ids_BL) const;

  const Config& config() const { return config_; }

 private:
  struct Layer {
    Norm attention_norm, feed_forward_norm;
    Linear to_q, to_k, to_v, to_out;
    Linear gate, up, down;  // no gate in v1.0
    at::Tensor bias_NH;     // undefined: the bias of the layer before
  };
  static Layer bind_layer(const Config& config, Binder binder, bool first);
  at::Tensor attend(const Layer& layer, const at::Tensor& x_BLD, const at::Tensor& bias_HLL) const;
  at::Tensor feed_forward(const Layer& layer, const at::Tensor& x_BLD) const;

  Config config_;
  at::Tensor embedding_VD_;
  std::vector<Layer> layers_;
  Norm final_norm_;
};

/// The bucket of each distance, keys minus queries, [L,L] int64: half of the buckets for each direction, in
/// each one bucket a token nearby, then logarithmically wider ones up to the largest distance.
at::Tensor t5_position_buckets(int64_t length, int64_t buckets, int64_t max_distance);

/// The tensors that an encoder binds, out of those of a file: the embedding under the name "shared.weight"
/// (files also call it "encoder.embed_tokens.weight", or hold it twice), nothing of a decoder. Throws Error
/// at `place` when the two names hold different numbers.
TensorMap t5_encoder_weights(TensorMap tensors, const std::string& place);

}  // namespace thalweg
