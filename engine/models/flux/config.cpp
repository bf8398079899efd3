#include <cmath>
#include <numeric>

#include "engine/core/error.h"
#include "engine/models/flux/transformer.h"
#include "engine/weights/folder.h"

namespace thalweg {

FluxTransformerConfig FluxTransformer::parse(const Json& json, const std::filesystem::path& path) {
  FluxTransformerConfig c;
  const auto read = [&](const char* key, int64_t& value, int64_t low, int64_t high) {
    value = config_integer(json, key, value, low, high, path);
  };
  const auto there = [&](const char* key) { return json.contains(key) && !json.at(key).is_null(); };
  if (config_integer(json, "patch_size", 1, 1, 64, path) != 1)
    throw Error(path.string(), "\"patch_size\" must be 1: latents come packed 2 x 2");
  read("in_channels", c.in_channels, 4, 4096);
  read("num_layers", c.num_layers, 0, 256);
  read("num_single_layers", c.num_single_layers, 0, 256);
  read("attention_head_dim", c.attention_head_dim, 2, 1024);
  read("num_attention_heads", c.num_attention_heads, 1, 512);
  read("joint_attention_dim", c.joint_attention_dim, 1, 65536);
  read("pooled_projection_dim", c.pooled_projection_dim, 1, 65536);
  c.guidance_embeds = config_bool(json, "guidance_embeds", false, path);
  if (there("axes_dims_rope")) {
    c.axes_dims_rope.clear();
    for (const double axis : config_numbers(json, "axes_dims_rope", 0, 1024, 8, path)) {
      if (std::fmod(axis, 2.0) != 0.0)
        throw Error(path.string(), "\"axes_dims_rope\" must have even numbers");
      c.axes_dims_rope.push_back(static_cast<int64_t>(axis));
    }
  }
  if (c.in_channels % (FluxTransformerConfig::kPatch * FluxTransformerConfig::kPatch) != 0)
    throw Error(path.string(), "\"in_channels\" must be a multiple of 4: latents come packed 2 x 2");
  if (there("out_channels") && config_integer(json, "out_channels", 0, 1, 4096, path) != c.in_channels)
    throw Error(path.string(), "out_channels must equal in_channels: a velocity has its latent's shape");
  if (c.num_layers + c.num_single_layers == 0)
    throw Error(path.string(), "num_layers and num_single_layers must not both be 0");
  const auto& axes = c.axes_dims_rope;
  if (axes.size() != 3)
    throw Error(path.string(), "\"axes_dims_rope\" must have three numbers: of frame, row and column");
  if (std::accumulate(axes.begin(), axes.end(), int64_t{0}) != c.attention_head_dim)
    throw Error(path.string(), "\"axes_dims_rope\" must add up to attention_head_dim");
  return c;
}

std::string flux_architecture(const FluxTransformerConfig& c) {
  if (c.num_layers == 19 && c.num_single_layers == 38 && c.width() == 3072)
    return c.guidance_embeds ? "flux-1-dev" : "flux-1-schnell";
  return "flux-1";
}

std::vector<std::string> flux_default_lora_targets(const FluxTransformerConfig& c) {
  std::vector<std::string> targets = {"attn.to_q", "attn.to_k", "attn.to_v"};
  if (c.num_layers > 0)
    targets.insert(targets.end(), {"attn.to_out.0", "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj",
                                   "attn.to_add_out", "ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj",
                                   "ff_context.net.2"});
  return targets;
}

}  // namespace thalweg
