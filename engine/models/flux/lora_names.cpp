#include "engine/models/flow_model.h"
#include "engine/models/flux/transformer.h"

namespace thalweg {
namespace {

using Names = std::vector<OriginalName>;

void add_double_block(Names& names, int64_t index) {
  const auto original = "double_blocks." + std::to_string(index) + ".";
  const auto block = "transformer_blocks." + std::to_string(index) + ".";
  add_fused(names, original + "img_attn.qkv",
            {block + "attn.to_q", block + "attn.to_k", block + "attn.to_v"});
  add_fused(names, original + "txt_attn.qkv",
            {block + "attn.add_q_proj", block + "attn.add_k_proj", block + "attn.add_v_proj"});
  for (const auto& [theirs, ours] : {std::pair{"img_attn.proj", "attn.to_out.0"},
                                     {"txt_attn.proj", "attn.to_add_out"},
                                     {"img_mlp.0", "ff.net.0.proj"},
                                     {"img_mlp.2", "ff.net.2"},
                                     {"txt_mlp.0", "ff_context.net.0.proj"},
                                     {"txt_mlp.2", "ff_context.net.2"},
                                     {"img_mod.lin", "norm1.linear"},
                                     {"txt_mod.lin", "norm1_context.linear"}})
    names.push_back({original + theirs, {block + ours}});
}

void add_single_block(Names& names, int64_t index) {
  const auto original = "single_blocks." + std::to_string(index) + ".";
  const auto block = "single_transformer_blocks." + std::to_string(index) + ".";
  add_fused(names, original + "linear1",
            {block + "attn.to_q", block + "attn.to_k", block + "attn.to_v", block + "proj_mlp"});
  names.push_back({original + "linear2", {block + "proj_out"}});
  names.push_back({original + "modulation.lin", {block + "norm.linear"}});
}

}  // namespace

LoraNames flux_lora_names(const FluxTransformerConfig& c) {
  Binder declare;
  FluxTransformer::bind(c, declare);
  LoraNames names{lora_layers(declare.specs()), {}};
  for (int64_t i = 0; i < c.num_layers; ++i) add_double_block(names.originals, i);
  for (int64_t i = 0; i < c.num_single_layers; ++i) add_single_block(names.originals, i);
  const std::string embed = "time_text_embed.";
  for (const auto& [original, layer] : {std::pair{"time_in", "timestep_embedder"},
                                        {"guidance_in", "guidance_embedder"},
                                        {"vector_in", "text_embedder"}}) {
    if (!c.guidance_embeds && std::string(original) == "guidance_in") continue;
    names.originals.push_back({original + std::string(".in_layer"), {embed + layer + ".linear_1"}});
    names.originals.push_back({original + std::string(".out_layer"), {embed + layer + ".linear_2"}});
  }
  names.originals.push_back({"img_in", {"x_embedder"}});
  names.originals.push_back({"txt_in", {"context_embedder"}});
  names.originals.push_back({"final_layer.linear", {"proj_out"}});
  // Scale stands before shift in diffusers, behind it in the original.
  names.originals.push_back({"final_layer.adaLN_modulation.1", {"norm_out.linear"}, true});
  return names;
}

}  // namespace thalweg
