#include <algorithm>

#include "engine/models/flow_model.h"
#include "engine/models/sd3/transformer.h"

namespace thalweg {
namespace {

using Names = std::vector<OriginalName>;

void add_block(Names& names, int64_t index, bool dual, bool last) {
  const auto original = "joint_blocks." + std::to_string(index) + ".";
  const auto block = "transformer_blocks." + std::to_string(index) + ".";
  const auto x = original + "x_block.", context = original + "context_block.";
  add_fused(names, x + "attn.qkv", {block + "attn.to_q", block + "attn.to_k", block + "attn.to_v"});
  add_fused(names, context + "attn.qkv",
            {block + "attn.add_q_proj", block + "attn.add_k_proj", block + "attn.add_v_proj"});
  if (dual) {
    add_fused(names, x + "attn2.qkv", {block + "attn2.to_q", block + "attn2.to_k", block + "attn2.to_v"});
    names.push_back({x + "attn2.proj", {block + "attn2.to_out.0"}});
  }
  names.push_back({x + "attn.proj", {block + "attn.to_out.0"}});
  names.push_back({x + "mlp.fc1", {block + "ff.net.0.proj"}});
  names.push_back({x + "mlp.fc2", {block + "ff.net.2"}});
  names.push_back({x + "adaLN_modulation.1", {block + "norm1.linear"}});
  // The last context norm of diffusers is "continuous": scale before shift, the original's shift before
  // scale.
  names.push_back({context + "adaLN_modulation.1", {block + "norm1_context.linear"}, last});
  if (last) return;
  names.push_back({context + "attn.proj", {block + "attn.to_add_out"}});
  names.push_back({context + "mlp.fc1", {block + "ff_context.net.0.proj"}});
  names.push_back({context + "mlp.fc2", {block + "ff_context.net.2"}});
}

}  // namespace

LoraNames sd3_lora_names(const Sd3TransformerConfig& c) {
  Binder declare;
  Sd3Transformer::bind(c, declare);
  LoraNames names{lora_layers(declare.specs()), {}};
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const auto& dual = c.dual_attention_layers;
    add_block(names.originals, i, std::find(dual.begin(), dual.end(), i) != dual.end(),
              i + 1 == c.num_layers);
  }
  const std::string embed = "time_text_embed.";
  for (const auto& [original, layer] :
       {std::pair{"t_embedder", "timestep_embedder"}, {"y_embedder", "text_embedder"}}) {
    names.originals.push_back({original + std::string(".mlp.0"), {embed + layer + ".linear_1"}});
    names.originals.push_back({original + std::string(".mlp.2"), {embed + layer + ".linear_2"}});
  }
  names.originals.push_back({"x_embedder.proj", {"pos_embed.proj"}});
  names.originals.push_back({"final_layer.linear", {"proj_out"}});
  names.originals.push_back({"final_layer.adaLN_modulation.1", {"norm_out.linear"}, true});
  return names;  // context_embedder has one name
}

}  // namespace thalweg
