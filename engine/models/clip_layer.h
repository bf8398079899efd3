// The layer that CLIP's two towers and BLIP's picture tower are made of (Radford et al. 2021, arXiv
// 2103.00020): normalise, attend, add; normalise, MLP, add. B samples, L tokens, D width.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/json.h"
#include "engine/models/binder.h"

namespace thalweg {

/// What the config.json of either tower says of its layers; the defaults are those of the text tower.
struct ClipLayerConfig {
  int64_t hidden_size = 512, intermediate_size = 2048;
  int64_t num_hidden_layers = 12, num_attention_heads = 8;
  double layer_norm_eps = 1e-5;
  std::string hidden_act = "quick_gelu";  // or "gelu"
};

/// Replaces what `json` names. Throws Error naming `path` and the key for what is malformed or not supported.
void read_clip_layer_config(const Json& json, const std::filesystem::path& path, ClipLayerConfig& config);

/// The function that hidden_act names.
using LayerActivation = at::Tensor (*)(const at::Tensor&);
LayerActivation activation(const ClipLayerConfig& config);

class ClipLayer {
 public:
  enum class Mask { none, causal };
  /// As transformers names the parameters: apart, q_proj, k_proj, v_proj and out_proj (CLIP); fused, qkv, one
  /// matrix, and projection (BLIP).
  enum class Projections { apart, fused };

  /// The num_hidden_layers layers under "encoder.layers." of a tower.
  static std::vector<ClipLayer> bind_all(const ClipLayerConfig& config, const Binder& tower, Mask mask,
                                         Projections projections = Projections::apart);

  at::Tensor operator()(const at::Tensor& x_BLD) const;

 private:
  static ClipLayer bind(const ClipLayerConfig& config, Binder binder, Mask mask, Projections projections);
  std::vector<at::Tensor> queries_keys_values(const at::Tensor& x_BLD) const;

  LayerActivation activate_ = nullptr;
  int64_t heads_ = 1;
  Mask mask_ = Mask::none;
  Norm norm1_, norm2_;
  Linear to_q_, to_k_, to_v_, to_qkv_, to_out_, fc1_, fc2_;  // to_qkv_ instead of the three, or undefined
};

}  // namespace thalweg
