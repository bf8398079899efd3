// The layer that CLIP's two towers are made of (Radford et al. 2021, arXiv 2103.00020): normalise, attend,
// add; normalise, MLP, add. B samples, L tokens, D width.
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

class ClipLayer {
 public:
  enum class Mask { none, causal };

  /// The num_hidden_layers layers under "encoder.layers." of a tower.
  static std::vector<ClipLayer> bind_all(const ClipLayerConfig& config, const Binder& tower, Mask mask);

  at::Tensor operator()(const at::Tensor& x_BLD) const;

 private:
  static ClipLayer bind(const ClipLayerConfig& config, Binder binder, Mask mask);

  at::Tensor (*activate_)(const at::Tensor&) = nullptr;
  int64_t heads_ = 1;
  Mask mask_ = Mask::none;
  Norm norm1_, norm2_;
  Linear to_q_, to_k_, to_v_, to_out_, fc1_, fc2_;
};

}  // namespace thalweg
