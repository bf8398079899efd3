#include "engine/models/text/blip_text_encoder.h"

#include <ATen/ATen.h>

#include <string>

#include "engine/core/error.h"
#include "engine/weights/config.h"

namespace thalweg {

BlipTextConfig BlipTextEncoder::parse(const Json& json, int64_t encoder_hidden_size,
                                      const std::filesystem::path& path) {
  const auto type = config_text(json, "model_type", "blip_text_model", path);
  if (type != "blip_text_model")
    throw Error(path.string(), "\"model_type\" is \"" + type + "\": only blip_text_model is supported here");
  if (!config_bool(json, "is_decoder", true, path))
    throw Error(path.string(), "\"is_decoder\" must be true: without it no layer attends to the picture");
  Config c;
  c.vocab_size = config_integer(json, "vocab_size", c.vocab_size, 1, 10'000'000, path);
  c.max_position_embeddings =
      config_integer(json, "max_position_embeddings", c.max_position_embeddings, 2, 1'000'000, path);
  c.encoder_hidden_size = encoder_hidden_size;
  read_clip_layer_config(json, path, c);
  return c;
}

BlipTextEncoder::Attention BlipTextEncoder::bind_attention(const Config& c, int64_t source_width,
                                                           Binder binder) {
  const auto linear = [&](const char* name, int64_t in) {
    return binder.linear(name, in, c.hidden_size, /*bias=*/true, Init::xavier_uniform);
  };
  return {linear("self.query", c.hidden_size), linear("self.key", source_width),
          linear("self.value", source_width), linear("output.dense", c.hidden_size),
          binder.layer_norm("output.LayerNorm", c.hidden_size, c.layer_norm_eps)};
}

BlipTextEncoder::Layer BlipTextEncoder::bind_layer(const Config& c, Binder binder) {
  Layer layer;
  layer.to_text = bind_attention(c, c.hidden_size, binder.sub("attention."));
  layer.to_picture = bind_attention(c, c.encoder_hidden_size, binder.sub("crossattention."));
  layer.up = binder.linear("intermediate.dense", c.hidden_size, c.intermediate_size, /*bias=*/true,
                           Init::xavier_uniform);
  layer.down =
      binder.linear("output.dense", c.intermediate_size, c.hidden_size, /*bias=*/true, Init::xavier_uniform);
  layer.norm = binder.layer_norm("output.LayerNorm", c.hidden_size, c.layer_norm_eps);
  return layer;
}

BlipTextEncoder BlipTextEncoder::bind(const Config& c, Binder binder) {
  auto embeddings = binder.sub("embeddings.");
  BlipTextEncoder encoder;
  encoder.config_ = c;
  encoder.activate_ = activation(c);
  encoder.words_VD_ =
      embeddings.tensor("word_embeddings.weight", {c.vocab_size, c.hidden_size}, Init::normal_002);
  encoder.positions_LD_ = embeddings.tensor("position_embeddings.weight",
                                            {c.max_position_embeddings, c.hidden_size}, Init::normal_002);
  encoder.first_norm_ = embeddings.layer_norm("LayerNorm", c.hidden_size, c.layer_norm_eps);
  for (int64_t i = 0; i < c.num_hidden_layers; ++i)
    encoder.layers_.push_back(bind_layer(c, binder.sub("encoder.layer." + std::to_string(i) + ".")));
  return encoder;
}

at::Tensor BlipTextEncoder::attend(const Attention& layer, const at::Tensor& x_BLD,
                                   const at::Tensor& source_BMD) const {
  const auto heads = [&](const at::Tensor& y_BND) {
    return y_BND.view({y_BND.size(0), y_BND.size(1), config_.num_attention_heads, -1}).transpose(1, 2);
  };
  const auto mixed_BHLD =
      attention(heads(layer.to_q(x_BLD)), heads(layer.to_k(source_BMD)), heads(layer.to_v(source_BMD)));
  const auto mixed_BLD = mixed_BHLD.transpose(1, 2).reshape(x_BLD.sizes());
  return layer_norm(layer.norm, layer.to_out(mixed_BLD) + x_BLD);
}

at::Tensor BlipTextEncoder::operator()(const at::Tensor& ids_BL, const at::Tensor& picture_BME) const {
  TORCH_CHECK(ids_BL.dim() == 2 && ids_BL.numel() > 0 && ids_BL.size(1) <= config_.max_position_embeddings,
              "token ids must be [B,L], not ", ids_BL.sizes());
  TORCH_CHECK(picture_BME.dim() == 3 && picture_BME.size(0) == ids_BL.size(0) &&
              picture_BME.size(2) == config_.encoder_hidden_size);
  const auto [low, high] = at::aminmax(ids_BL);
  if (low.item<int64_t>() < 0 || high.item<int64_t>() >= config_.vocab_size)
    throw Error("", "a token id is outside of the text encoder's vocabulary of " +
                        std::to_string(config_.vocab_size));
  auto x_BLD =
      layer_norm(first_norm_, at::embedding(words_VD_, ids_BL) + positions_LD_.narrow(0, 0, ids_BL.size(1)));
  for (const auto& layer : layers_) {
    x_BLD = attend(layer.to_text, x_BLD, x_BLD);
    x_BLD = attend(layer.to_picture, x_BLD, picture_BME);
    x_BLD = layer_norm(layer.norm, layer.down(activate_(layer.up(x_BLD))) + x_BLD);
  }
  return x_BLD;
}

}  // namespace thalweg
