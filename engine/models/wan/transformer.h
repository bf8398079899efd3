// WanTransformer3DModel: the transformer of Wan 2.1's text-to-video models (arXiv 2503.20314, section 4.2).
// Blocks of self-attention over the tokens of all frames with rotary positions, cross-attention to the text,
// and a perceptron; one set of modulations for all blocks, with a table of each block's own. Config keys and
// state-dict names are those of diffusers. B samples, C channels, F, H, W: latent frames and their sides; L
// tokens, D width.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "engine/core/json.h"
#include "engine/models/embedders.h"
#include "engine/models/feed_forward.h"
#include "engine/models/rotation.h"
#include "engine/weights/lora_names.h"

namespace thalweg {

struct WanTransformerConfig {
  std::vector<int64_t> patch_size = {1, 2, 2};  // frames, rows, columns
  int64_t num_attention_heads = 40, attention_head_dim = 128, num_layers = 40;
  int64_t in_channels = 16, text_dim = 4096, freq_dim = 256, ffn_dim = 13824;
  bool cross_attn_norm = true;
  double eps = 1e-6;
  int64_t rope_max_seq_len = 1024;  // patches along each of the three axes

  int64_t width() const { return num_attention_heads * attention_head_dim; }
  int64_t latent_channels() const { return in_channels; }
  int64_t patch_elements() const { return patch_size[0] * patch_size[1] * patch_size[2]; }
};

/// Layers of a LoRA, and their names in the original code of Wan (self_attn, cross_attn), which kohya's
/// musubi-tuner and ComfyUI use.
LoraNames wan_lora_names(const WanTransformerConfig& config);

/// Linear layers that a LoRA adapts by default: those of both attentions.
std::vector<std::string> wan_default_lora_targets();

/// The published model that has this shape, "wan-2.1-t2v-1.3b", or the family alone.
std::string wan_architecture(const WanTransformerConfig& config);

/// What diffusers keeps in float32 in a model of half precision is computed in float32 here, whatever the
/// weights' dtype: the embedding of the time, tables and gates of the modulation, norms, and the sums that
/// they gate.
class WanTransformer {
 public:
  using Config = WanTransformerConfig;

  /// Throws Error naming `path` and the key for what is out of range or unsupported (models that see an
  /// image).
  static Config parse(const Json& config, const std::filesystem::path& path);
  static WanTransformer bind(const Config& config, Binder binder);

  /// As Sd3Transformer's.
  void checkpoint_blocks() { checkpointing_ = true; }

  /// x [B,C,F,H,W], multiples of the patch and at most rope_max_seq_len patches along each axis; timestep_B =
  /// sigma * num_train_timesteps, float32; prompt_embeds [B,L,text_dim], rows of zeros attended. Returns v as
  /// x.
  at::Tensor operator()(const at::Tensor& x_BCFHW, const at::Tensor& timestep_B,
                        const at::Tensor& prompt_embeds_BLD) const;

 private:
  struct Attention {
    Linear to_q, to_k, to_v, to_out;
    Norm norm_q, norm_k;  // over all heads together

    static Attention bind(const Config& config, Binder binder);
  };
  struct Block {
    Attention self, cross;
    std::optional<Norm> norm2;
    FeedForward ffn;
    at::Tensor table_16D;             // shift, scale, gate of the self-attention, then of the perceptron
    std::vector<at::Tensor> tensors;  // all of them
    int64_t heads = 1;
    double eps = 1e-6;

    at::Tensor operator()(const at::Tensor& x_BLD, const at::Tensor& text_BLD,
                          const at::Tensor& modulation_B6D, const Rotation& rotation) const;
  };
  Rotation rotation(const std::vector<int64_t>& grid, at::Device device) const;
  at::Tensor tokens(const at::Tensor& x_BCFHW, const std::vector<int64_t>& grid) const;
  at::Tensor video(const at::Tensor& tokens_BLD, const std::vector<int64_t>& grid) const;

  Config config_;
  Linear patches_;  // patch_embedding as a product
  Embedder time_, text_;
  Linear time_proj_, proj_out_;
  std::vector<Block> blocks_;
  at::Tensor table_12D_;  // shift, scale
  RotationCache rotations_;
  bool checkpointing_ = false;
};

}  // namespace thalweg
