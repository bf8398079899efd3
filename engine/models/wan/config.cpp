#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/models/flow_model.h"
#include "engine/models/wan/transformer.h"
#include "engine/weights/config.h"

namespace thalweg {

WanTransformerConfig WanTransformer::parse(const Json& json, const std::filesystem::path& path) {
  Config c;
  const auto read = [&](const char* key, int64_t& value, int64_t low, int64_t high) {
    value = config_integer(json, key, value, low, high, path);
  };
  const auto refuse = [&](const std::string& key, const std::string& message) {
    throw Error(path.string(), "\"" + key + "\" " + message);
  };
  for (const char* key : {"image_dim", "added_kv_proj_dim", "pos_embed_seq_len"})
    if (json.contains(key) && !json.at(key).is_null())
      refuse(key,
             "is set: models that see an image (I2V, FLF2V) are not supported, text-to-video models are");
  c.patch_size = config_integers(json, "patch_size", c.patch_size, 1, 64, 3, path);
  if (c.patch_size.size() != 3) refuse("patch_size", "must have three numbers: frames, rows, columns");
  if (c.patch_size[0] != 1) refuse("patch_size", "must begin with 1: one latent frame a patch");
  read("num_attention_heads", c.num_attention_heads, 1, 512);
  read("attention_head_dim", c.attention_head_dim, 6, 1024);
  read("in_channels", c.in_channels, 1, 1024);
  read("text_dim", c.text_dim, 1, 65536);
  read("freq_dim", c.freq_dim, 2, 65536);
  read("ffn_dim", c.ffn_dim, 1, 1 << 20);
  read("num_layers", c.num_layers, 1, 256);
  read("rope_max_seq_len", c.rope_max_seq_len, 1, 1 << 16);
  c.cross_attn_norm = config_bool(json, "cross_attn_norm", c.cross_attn_norm, path);
  c.eps = config_number(json, "eps", c.eps, 0.0, 1.0, path);
  if (config_integer(json, "out_channels", c.in_channels, 1, 1024, path) != c.in_channels)
    refuse("out_channels",
           "must equal in_channels: a model that is given more than the latents sees an image, "
           "and a velocity has its latents' shape");
  if (c.attention_head_dim % 2 != 0) refuse("attention_head_dim", "must be even for rotary positions");
  if (c.freq_dim % 2 != 0) refuse("freq_dim", "must be even");
  if (config_text(json, "qk_norm", "rms_norm_across_heads", path) != "rms_norm_across_heads")
    refuse("qk_norm", "must be \"rms_norm_across_heads\"");
  return c;
}

LoraNames wan_lora_names(const WanTransformerConfig& c) {
  Binder declare;
  WanTransformer::bind(c, declare);
  LoraNames names{lora_layers(declare.specs()), {}};
  const auto add = [&](const std::string& original, const std::string& layer) {
    names.originals.push_back({original, {layer}});
  };
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const auto block = "blocks." + std::to_string(i) + ".";
    for (const auto& [original, layer] : {std::pair{"self_attn.", "attn1."}, {"cross_attn.", "attn2."}})
      for (const auto& [from, to] : {std::pair{"q", "to_q"}, {"k", "to_k"}, {"v", "to_v"}, {"o", "to_out.0"}})
        add(block + original + from, block + layer + to);
    add(block + "ffn.0", block + "ffn.net.0.proj");
    add(block + "ffn.2", block + "ffn.net.2");
  }
  const std::string condition = "condition_embedder.";
  for (const auto& [original, layer] :
       {std::pair{"time_embedding", "time_embedder"}, {"text_embedding", "text_embedder"}}) {
    add(original + std::string(".0"), condition + layer + ".linear_1");
    add(original + std::string(".2"), condition + layer + ".linear_2");
  }
  add("time_projection.1", condition + "time_proj");
  add("head.head", "proj_out");
  return names;
}

std::vector<std::string> wan_default_lora_targets() {
  std::vector<std::string> targets;
  for (const std::string part : {"attn1.", "attn2."})
    for (const char* layer : {"to_q", "to_k", "to_v", "to_out.0"}) targets.push_back(part + layer);
  return targets;
}

std::string wan_architecture(const WanTransformerConfig& c) {
  if (c.num_layers == 30 && c.width() == 1536) return "wan-2.1-t2v-1.3b";
  if (c.num_layers == 40 && c.width() == 5120) return "wan-2.1-t2v-14b";
  return "wan-2.1-t2v";
}

}  // namespace thalweg
