// SD3Transformer2DModel: the MM-DiT of Stable Diffusion 3 (Esser et al. 2024, arXiv 2403.03206, section 4)
// and 3.5 (qk-norm, dual attention). Config keys and state-dict names are those of diffusers.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/core/json.h"
#include "engine/models/embedders.h"
#include "engine/models/joint_block.h"
#include "engine/weights/lora_names.h"

namespace thalweg {

struct Sd3TransformerConfig {
  int64_t sample_size = 128, patch_size = 2, in_channels = 16, out_channels = 16;
  int64_t num_layers = 18, attention_head_dim = 64, num_attention_heads = 18;
  int64_t joint_attention_dim = 4096, caption_projection_dim = 1152, pooled_projection_dim = 2048;
  int64_t pos_embed_max_size = 96;
  std::vector<int64_t> dual_attention_layers;
  bool qk_norm = false;  // rms_norm or none

  int64_t width() const { return num_attention_heads * attention_head_dim; }
  int64_t latent_channels() const { return in_channels; }
};

/// Reads transformer/config.json. Throws Error naming the file and key for what is out of range or
/// unsupported.
Sd3TransformerConfig parse_sd3_transformer_config(const Json& config, const std::filesystem::path& path);

/// Layers of a LoRA, and their names in the original code of Stability AI (joint_blocks), which kohya's
/// sd-scripts and ComfyUI use.
LoraNames sd3_lora_names(const Sd3TransformerConfig& config);

/// The published model that has this shape, as the ModelSpec standard names it, or the family alone.
std::string sd3_architecture(const Sd3TransformerConfig& config);

class Sd3Transformer {
 public:
  using Config = Sd3TransformerConfig;

  static Config parse(const Json& config, const std::filesystem::path& path) {
    return parse_sd3_transformer_config(config, path);
  }
  static Sd3Transformer bind(const Sd3TransformerConfig& config, Binder binder);
  /// The embedders and the first `depth` blocks: for features() alone.
  static Sd3Transformer bind_trunk(const Sd3TransformerConfig& config, Binder binder, int64_t depth);

  /// From now on a block keeps its inputs alone for the backward pass and runs again there: about a third
  /// more arithmetic for activations of one block instead of all. The same numbers to the bit.
  void checkpoint_blocks() { checkpointing_ = true; }

  /// x [B,C,H,W], H and W multiples of the patch and at most pos_embed_max_size patches; timestep_B =
  /// sigma * num_train_timesteps, float32; prompt_embeds [B,L,joint_attention_dim]; pooled
  /// [B,pooled_projection_dim]. Returns v [B,C,H,W].
  at::Tensor operator()(const at::Tensor& x_BCHW, const at::Tensor& timestep_B,
                        const at::Tensor& prompt_embeds_BLD, const at::Tensor& pooled_BD) const;

  /// Both streams after the blocks, the text as it enters the last block where that is among them. Of the
  /// arguments of operator().
  TokenStreams features(const at::Tensor& x_BCHW, const at::Tensor& timestep_B,
                        const at::Tensor& prompt_embeds_BLD, const at::Tensor& pooled_BD) const;

 private:
  TokenStreams run_blocks(const at::Tensor& x_BCHW, const at::Tensor& prompt_embeds_BLD,
                          const at::Tensor& silu_temb_BD) const;
  at::Tensor silu_embedding(const at::Tensor& timestep_B, const at::Tensor& pooled_BD) const;
  at::Tensor tokens(const at::Tensor& x_BCHW) const;
  at::Tensor unpatched(const at::Tensor& tokens_BLD, int64_t rows, int64_t columns) const;

  Sd3TransformerConfig config_;
  Conv2d patch_proj_;
  at::Tensor pos_embed_;
  Embedder time_, text_;
  Linear context_embedder_;
  std::vector<JointBlock> blocks_;
  Linear norm_out_, proj_out_;
  bool checkpointing_ = false;
};

/// Linear layers that a LoRA adapts by default, as suffixes of module names: diffusers' choice for SD3.
std::vector<std::string> sd3_default_lora_targets(const Sd3TransformerConfig& config);

/// The fixed 2-D sine table "pos_embed.pos_embed" [1, max^2, width] in float32.
at::Tensor sd3_position_table(const Sd3TransformerConfig& config);

}  // namespace thalweg
