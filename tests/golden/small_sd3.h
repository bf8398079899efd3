// A real but small MM-DiT with random weights: two blocks of width 16, qk-norm, dual attention in the first.
#pragma once

#include <ATen/ATen.h>

#include "engine/core/rng.h"
#include "engine/models/sd3/sd3_model.h"

namespace thalweg {

inline Sd3TransformerConfig small_sd3_config() {
  Sd3TransformerConfig c;
  c.sample_size = 8;
  c.patch_size = 2;
  c.in_channels = c.out_channels = 4;
  c.num_layers = 2;
  c.attention_head_dim = 8;
  c.num_attention_heads = 2;
  c.joint_attention_dim = 12;
  c.caption_projection_dim = 16;
  c.pooled_projection_dim = 10;
  c.pos_embed_max_size = 6;
  c.qk_norm = true;
  c.dual_attention_layers = {0};
  return c;
}

inline std::vector<ParameterSpec> sd3_specs(const Sd3TransformerConfig& config) {
  Binder declare;
  Sd3Transformer::bind(config, declare);
  return declare.specs();
}

/// Random weights in which no gate is closed: zero-initialised layers get noise too, so that every tensor
/// matters.
inline TensorMap small_sd3_weights(const Sd3TransformerConfig& config, uint64_t seed,
                                   at::ScalarType dtype = at::kFloat) {
  auto specs = sd3_specs(config);
  for (auto& spec : specs)
    if (spec.init == Init::zeros) spec.init = Init::kaiming_uniform;
  auto weights = initial_parameters(specs, seed);
  weights["pos_embed.pos_embed"] = sd3_position_table(config);
  for (auto& [name, tensor] : weights) tensor = tensor.to(dtype);
  return weights;
}

inline Velocity small_sd3_velocity(const Sd3TransformerConfig& config, const TensorMap& weights,
                                   const Adapter* adapter = nullptr) {
  Binder binder(weights, "transformer", adapter);
  auto transformer = Sd3Transformer::bind(config, binder);
  binder.finish();
  return sd3_velocity(std::move(transformer));
}

/// Prompt features of each slot: noise of the slot's own, 5 tokens.
inline Conditioning small_sd3_conditioning(const Sd3TransformerConfig& config,
                                           const std::vector<int64_t>& slots,
                                           at::ScalarType dtype = at::kFloat) {
  Conditioning c;
  for (const auto slot : slots) c.prompts.push_back(std::to_string(slot));
  c.tensors["prompt_embeds"] =
      normal_noise(31, Purpose::data, slots, 0, {5, config.joint_attention_dim}, dtype);
  c.tensors["pooled_prompt_embeds"] =
      normal_noise(31, Purpose::data, slots, 1, {config.pooled_projection_dim}, dtype);
  return c;
}

/// Initial noise [slots, 4, 1, 8, 8].
inline at::Tensor small_sd3_noise(const std::vector<int64_t>& slots, at::ScalarType dtype = at::kFloat) {
  return normal_noise(32, Purpose::initial_noise, slots, 0, {4, 1, 8, 8}, dtype);
}

}  // namespace thalweg
