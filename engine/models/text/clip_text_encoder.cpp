#include "engine/models/text/clip_text_encoder.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/weights/config.h"

namespace thalweg {
namespace {

/// Configs from before transformers 4.31 give this wrong id; their models pool at the largest id of a prompt.
constexpr int64_t kLegacyEndToken = 2;

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
  read("projection_dim", c.projection_dim, 1, 65536);
  read("eos_token_id", c.eos_token_id, 0, 10'000'000);
  read_clip_layer_config(json, path, c);
  return c;
}

ClipTextEncoder ClipTextEncoder::bind(const Config& c, Binder binder) {
  auto text = binder.sub("text_model.");
  ClipTextEncoder encoder;
  encoder.config_ = c;
  encoder.token_embedding_VD_ =
      text.tensor("embeddings.token_embedding.weight", {c.vocab_size, c.hidden_size}, Init::normal_002);
  encoder.position_embedding_LD_ = text.tensor("embeddings.position_embedding.weight",
                                               {c.max_position_embeddings, c.hidden_size}, Init::normal_002);
  encoder.layers_ = ClipLayer::bind_all(c, text, ClipLayer::Mask::causal);
  encoder.final_norm_ = text.layer_norm("final_layer_norm", c.hidden_size, c.layer_norm_eps);
  if (c.projected)
    encoder.projection_ = binder.linear("text_projection", c.hidden_size, c.projection_dim, /*bias=*/false,
                                        Init::xavier_uniform);
  return encoder;
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
    x_BLD = layer(x_BLD);
  }
  features.last_BLD = layer_norm(final_norm_, x_BLD);
  const auto row_B = at::arange(ids_BL.size(0), ids_BL.options());
  features.pooled_BP = features.last_BLD.index({row_B, end_positions(ids_BL)});
  if (config_.projected) features.pooled_BP = projection_(features.pooled_BP);
  return features;
}

}  // namespace thalweg
