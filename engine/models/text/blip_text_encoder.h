// BlipTextModel of transformers as an encoder grounded in a picture (Li et al. 2022, arXiv 2201.12086): a
// BERT whose layers attend to the text, then to the picture's features, then apply their MLP, each with a
// norm behind it. B samples, L tokens, M features of the picture, D width, E their width.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/models/clip_layer.h"

namespace thalweg {

/// The defaults are transformers'.
struct BlipTextConfig : ClipLayerConfig {
  BlipTextConfig()
      : ClipLayerConfig{
            .hidden_size = 768, .intermediate_size = 3072, .layer_norm_eps = 1e-12, .hidden_act = "gelu"} {}

  int64_t vocab_size = 30524, max_position_embeddings = 512;
  int64_t encoder_hidden_size = 768;  // E
};

class BlipTextEncoder {
 public:
  using Config = BlipTextConfig;

  /// Throws Error naming `path` and the key for what is malformed or not supported. E is the picture tower's
  /// width, as in the peer, whatever the file says of it.
  static Config parse(const Json& config, int64_t encoder_hidden_size, const std::filesystem::path& path);
  /// `binder`: at the encoder's own names ("embeddings.", "encoder.").
  static BlipTextEncoder bind(const Config& config, Binder binder);

  /// ids: int64, up to max_position_embeddings, without padding; every token sees every other. Returns the
  /// last layer's features [B,L,D]. Throws Error for ids outside of the vocabulary.
  at::Tensor operator()(const at::Tensor& ids_BL, const at::Tensor& picture_BME) const;

  const Config& config() const { return config_; }

 private:
  struct Attention {
    Linear to_q, to_k, to_v, to_out;
    Norm norm;
  };
  struct Layer {
    Attention to_text, to_picture;
    Linear up, down;
    Norm norm;
  };
  static Attention bind_attention(const Config& config, int64_t source_width, Binder binder);
  static Layer bind_layer(const Config& config, Binder binder);
  at::Tensor attend(const Attention& layer, const at::Tensor& x_BLD, const at::Tensor& source_BMD) const;

  Config config_;
  LayerActivation activate_ = nullptr;
  at::Tensor words_VD_, positions_LD_;
  Norm first_norm_;
  std::vector<Layer> layers_;
};

}  // namespace thalweg
