#include "engine/models/clip_layer.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/weights/config.h"

namespace thalweg {
namespace {

at::Tensor gelu(const at::Tensor& x) {
  return at::gelu(x);
}

at::Tensor quick_gelu(const at::Tensor& x) {
  return x * at::sigmoid(x * 1.702);
}

}  // namespace

void read_clip_layer_config(const Json& json, const std::filesystem::path& path, ClipLayerConfig& c) {
  const auto read = [&](const char* key, int64_t& value, int64_t high) {
    value = config_integer(json, key, value, 1, high, path);
  };
  read("hidden_size", c.hidden_size, 65536);
  read("intermediate_size", c.intermediate_size, 262144);
  read("num_hidden_layers", c.num_hidden_layers, 256);
  read("num_attention_heads", c.num_attention_heads, 1024);
  c.layer_norm_eps = config_number(json, "layer_norm_eps", c.layer_norm_eps, 0.0, 1.0, path);
  c.hidden_act = config_text(json, "hidden_act", c.hidden_act, path);
  if (c.hidden_act != "quick_gelu" && c.hidden_act != "gelu")
    throw Error(path.string(),
                "\"hidden_act\" is \"" + c.hidden_act + "\": quick_gelu and gelu are supported");
  if (c.hidden_size % c.num_attention_heads != 0)
    throw Error(path.string(), "\"hidden_size\" must be a multiple of \"num_attention_heads\"");
}

LayerActivation activation(const ClipLayerConfig& config) {
  return config.hidden_act == "gelu" ? &gelu : &quick_gelu;
}

std::vector<ClipLayer> ClipLayer::bind_all(const ClipLayerConfig& config, const Binder& tower, Mask mask,
                                           Projections projections) {
  std::vector<ClipLayer> layers;
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    layers.push_back(bind(config, tower.sub("encoder.layers." + std::to_string(i) + "."), mask, projections));
  return layers;
}

ClipLayer ClipLayer::bind(const ClipLayerConfig& c, Binder binder, Mask mask, Projections projections) {
  const auto linear = [&](const char* name, int64_t in, int64_t out) {
    return binder.linear(name, in, out, /*bias=*/true, Init::xavier_uniform);
  };
  ClipLayer layer;
  layer.activate_ = activation(c);
  layer.heads_ = c.num_attention_heads;
  layer.mask_ = mask;
  layer.norm1_ = binder.layer_norm("layer_norm1", c.hidden_size, c.layer_norm_eps);
  const bool fused = projections == Projections::fused;
  if (fused) {
    layer.to_qkv_ = linear("self_attn.qkv", c.hidden_size, 3 * c.hidden_size);
  } else {
    layer.to_q_ = linear("self_attn.q_proj", c.hidden_size, c.hidden_size);
    layer.to_k_ = linear("self_attn.k_proj", c.hidden_size, c.hidden_size);
    layer.to_v_ = linear("self_attn.v_proj", c.hidden_size, c.hidden_size);
  }
  layer.to_out_ = linear(fused ? "self_attn.projection" : "self_attn.out_proj", c.hidden_size, c.hidden_size);
  layer.norm2_ = binder.layer_norm("layer_norm2", c.hidden_size, c.layer_norm_eps);
  layer.fc1_ = linear("mlp.fc1", c.hidden_size, c.intermediate_size);
  layer.fc2_ = linear("mlp.fc2", c.intermediate_size, c.hidden_size);
  return layer;
}

std::vector<at::Tensor> ClipLayer::queries_keys_values(const at::Tensor& x_BLD) const {
  if (to_qkv_.weight.defined()) return to_qkv_(x_BLD).chunk(3, -1);
  return {to_q_(x_BLD), to_k_(x_BLD), to_v_(x_BLD)};
}

at::Tensor ClipLayer::operator()(const at::Tensor& x_BLD) const {
  const int64_t batch = x_BLD.size(0), length = x_BLD.size(1);
  auto parts = queries_keys_values(layer_norm(norm1_, x_BLD));
  for (auto& part : parts) part = part.view({batch, length, heads_, -1}).transpose(1, 2);
  const auto mixed_BHLD = attention(parts[0], parts[1], parts[2], mask_ == Mask::causal);
  const auto y_BLD = x_BLD + to_out_(mixed_BHLD.transpose(1, 2).reshape({batch, length, -1}));
  return y_BLD + fc2_(activate_(fc1_(layer_norm(norm2_, y_BLD))));
}

}  // namespace thalweg
