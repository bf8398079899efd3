#include "engine/models/text/clip_text_encoder.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/weights/config.h"

namespace thalweg {
namespace {

/// Configs from before transformers 4.31 give this wrong id; their models pool at the largest id of a prompt.
constexpr int64_t kLegacyEndToken = 2;

at::Tensor activate(const at::Tensor& x, const std::string& name) {
  return name == "gelu" ? at::gelu(x) : x * at::sigmoid(x * 1.702);
}

}  // namespace

ClipTextConfig ClipTextEncoder::parse(const Json& json, const std::filesystem::path& path) {
  const auto type = config_text(json, "model_type", "clip_text_model", path);
  if (type != "clip_text_model")
    throw Error(path.string(), "\"model_type\" is \"" + type + "\": only clip_text_model is supported here");
  Config c;
  const auto read = [&](const char* key, int64_t& value, int64_t low, int64_t high) {
    value = config_integer(json, key, value, low, high, path);
  };
  read("vocab_size", c.vocab_size, 1, 10'000'000);
  read("max_position_embeddings", c.max_position_embeddings, 1, 65536);
  read("hidden_size", c.hidden_size, 1, 65536);
  read("intermediate_size", c.intermediate_size, 1, 262144);
  read("projection_dim", c.projection_dim, 1, 65536);
  read("num_hidden_layers", c.num_hidden_layers, 1, 256);
  read("num_attention_heads", c.num_attention_heads, 1, 1024);
  read("eos_token_id", c.eos_token_id, 0, 10'000'000);
  c.layer_norm_eps = config_number(json, "layer_norm_eps", c.layer_norm_eps, 0.0, 1.0, path);
  c.hidden_act = config_text(json, "hidden_act", c.hidden_act, path);
  if (c.hidden_act != "quick_gelu" && c.hidden_act != "gelu")
    throw Error(path.string(),
                "\"hidden_act\" is \"" + c.hidden_act + "\": quick_gelu and gelu are supported");
  if (c.hidden_size % c.num_attention_heads != 0)
    throw Error(path.string(), "\"hidden_size\" must be a multiple of \"num_attention_heads\"");
  return c;
}

ClipTextEncoder::Layer ClipTextEncoder::bind_layer(const Config& c, Binder binder) {
  const auto linear = [&](const char* name, int64_t in, int64_t out) {
    return binder.linear(name, in, out, /*bias=*/true, Init::xavier_uniform);
  };
  Layer layer;
  layer.norm1 = binder.layer_norm("layer_norm1", c.hidden_size, c.layer_norm_eps);
  layer.to_q = linear("self_attn.q_proj", c.hidden_size, c.hidden_size);
  layer.to_k = linear("self_attn.k_proj", c.hidden_size, c.hidden_size);
  layer.to_v = linear("self_attn.v_proj", c.hidden_size, c.hidden_size);
  layer.to_out = linear("self_attn.out_proj", c.hidden_size, c.hidden_size);
  layer.norm2 = binder.layer_norm("layer_norm2", c.hidden_size, c.layer_norm_eps);
  layer.fc1 = linear("mlp.fc1", c.hidden_size, c.intermediate_size);
  layer.fc2 = linear("mlp.fc2", c.intermediate_size, c.hidden_size);
  return layer;
}

ClipTextEncoder ClipTextEncoder::bind(const Config& c, Binder binder) {
  auto text = binder.sub("text_model.");
  ClipTextEncoder encoder;
  encoder.config_ = c;
  encoder.token_embedding_VD_ =
      text.tensor("embeddings.token_embedding.weight", {c.vocab_size, c.hidden_size}, Init::normal_002);
  encoder.position_embedding_LD_ = text.tensor("embeddings.position_embedding.weight",
                                               {c.max_position_embeddings, c.hidden_size}, Init::normal_002);
  for (int64_t i = 0; i < c.num_hidden_layers; ++i)
    encoder.layers_.push_back(bind_layer(c, text.sub("encoder.layers." + std::to_string(i) + ".")));
  encoder.final_norm_ = text.layer_norm("final_layer_norm", c.hidden_size, c.layer_norm_eps);
  encoder.projection_ =
      binder.linear("text_projection", c.hidden_size, c.projection_dim, /*bias=*/false, Init::xavier_uniform);
  return encoder;
}

at::Tensor ClipTextEncoder::run(const Layer& layer, const at::Tensor& x_BLD) const {
  const int64_t batch = x_BLD.size(0), length = x_BLD.size(1), heads = config_.num_attention_heads;
  const auto normed_BLD = layer_norm(layer.norm1, x_BLD);
  const auto split = [&](const Linear& linear) {
    return linear(normed_BLD).view({batch, length, heads, -1}).transpose(1, 2);
  };
  const auto mixed_BHLD = attention(split(layer.to_q), split(layer.to_k), split(layer.to_v), /*causal=*/true);
  const auto y_BLD = x_BLD + layer.to_out(mixed_BHLD.transpose(1, 2).reshape({batch, length, -1}));
  return y_BLD + layer.fc2(activate(layer.fc1(layer_norm(layer.norm2, y_BLD)), config_.hidden_act));
}

void ClipTextEncoder::check(const at::Tensor& ids_BL) const {
  if (ids_BL.dim() != 2 || ids_BL.numel() == 0 || ids_BL.size(1) > config_.max_position_embeddings)
    throw Error("", "a prompt may have 1 to " + std::to_string(config_.max_position_embeddings) +
                        " tokens for this text encoder");
  const auto [low, high] = at::aminmax(ids_BL);
  if (low.item<int64_t>() < 0 || high.item<int64_t>() >= config_.vocab_size)
    throw Error("", "a token id is outside of the text encoder's vocabulary of " +
                        std::to_string(config_.vocab_size) +
                        ": tokenizer and text encoder do not belong together");
}

at::Tensor ClipTextEncoder::end_positions(const at::Tensor& ids_BL) const {
  if (config_.eos_token_id == kLegacyEndToken) return ids_BL.argmax(-1);
  // The first of equals; a prompt without an end token gives 0, as in transformers.
  return ids_BL.eq(config_.eos_token_id).to(at::kInt).argmax(-1);
}

ClipTextFeatures ClipTextEncoder::operator()(const at::Tensor& ids_BL) const {
  check(ids_BL);
  auto x_BLD = at::embedding(token_embedding_VD_, ids_BL) +
               position_embedding_LD_.slice(0, 0, ids_BL.size(1)).unsqueeze(0);
  ClipTextFeatures features;
  for (const auto& layer : layers_) {
    features.penultimate_BLD = x_BLD;
    x_BLD = run(layer, x_BLD);
  }
  features.last_BLD = layer_norm(final_norm_, x_BLD);
  const auto row_B = at::arange(ids_BL.size(0), ids_BL.options());
  features.pooled_BP = projection_(features.last_BLD.index({row_B, end_positions(ids_BL)}));
  return features;
}

}  // namespace thalweg
