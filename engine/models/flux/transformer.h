// FluxTransformer2DModel: the transformer of FLUX.1 (Black Forest Labs 2024): joint blocks, then blocks in
// which both streams share all weights; rotary positions; an input for the guidance scale where the model was
// distilled from a guided one. Config keys and state-dict names are those of diffusers.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/core/json.h"
#include "engine/models/embedders.h"
#include "engine/models/flux/single_block.h"
#include "engine/models/joint_block.h"
#include "engine/weights/lora_names.h"

namespace thalweg {

struct FluxTransformerConfig {
  static constexpr int64_t kPatch = 2;  // of latents, packed by the pipeline

  int64_t in_channels = 64, num_layers = 19, num_single_layers = 38;
  int64_t attention_head_dim = 128, num_attention_heads = 24;
  int64_t joint_attention_dim = 4096, pooled_projection_dim = 768;
  bool guidance_embeds = false;
  std::vector<int64_t> axes_dims_rope = {16, 56, 56};

  int64_t width() const { return num_attention_heads * attention_head_dim; }
  int64_t latent_channels() const { return in_channels / (kPatch * kPatch); }
};

/// Layers of a LoRA, and their names in the original code of Black Forest Labs (double_blocks,
/// single_blocks), which kohya's sd-scripts and ComfyUI use.
LoraNames flux_lora_names(const FluxTransformerConfig& config);

/// Linear layers that a LoRA adapts by default: diffusers' choice for FLUX.1.
std::vector<std::string> flux_default_lora_targets(const FluxTransformerConfig& config);

/// The published model that has this shape, as the ModelSpec standard names it, or the family alone.
std::string flux_architecture(const FluxTransformerConfig& config);

class FluxTransformer {
 public:
  using Config = FluxTransformerConfig;

  /// Throws Error naming `path` and the key for what is out of range or unsupported.
  static Config parse(const Json& config, const std::filesystem::path& path);
  static FluxTransformer bind(const Config& config, Binder binder);

  /// As Sd3Transformer's.
  void checkpoint_blocks() { checkpointing_ = true; }

  /// x [B,C,H,W], even sides; timestep_B = sigma * num_train_timesteps, float32; guidance_B: the scale, read
  /// where the config says guidance_embeds; prompt_embeds [B,L,joint_attention_dim]; pooled
  /// [B,pooled_projection_dim]. Returns v [B,C,H,W].
  at::Tensor operator()(const at::Tensor& x_BCHW, const at::Tensor& timestep_B, const at::Tensor& guidance_B,
                        const at::Tensor& prompt_embeds_BLD, const at::Tensor& pooled_BD) const;

 private:
  at::Tensor silu_embedding(const at::Tensor& timestep_B, const at::Tensor& guidance_B,
                            const at::Tensor& pooled_BD) const;
  Rotation rotation(int64_t text, int64_t rows, int64_t columns, at::Device device) const;

  Config config_;
  Linear x_embedder_, context_embedder_;
  Embedder time_, guidance_, text_;
  std::vector<JointBlock> blocks_;
  std::vector<FluxSingleBlock> single_blocks_;
  Linear norm_out_, proj_out_;
  RotationCache rotations_;
  bool checkpointing_ = false;
};

}  // namespace thalweg
