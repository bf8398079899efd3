#include "engine/models/text/t5_encoder.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>

#include "engine/core/error.h"
#include "engine/weights/config.h"

namespace thalweg {
namespace {

constexpr const char* kEmbedding = "shared.weight";
constexpr const char* kTiedEmbedding = "encoder.embed_tokens.weight";

using Activation = at::Tensor (*)(const at::Tensor&);

const std::map<std::string, Activation>& activations() {
  static const std::map<std::string, Activation> table = {
      {"gelu", [](const at::Tensor& x) { return at::gelu(x); }},
      {"gelu_new", [](const at::Tensor& x) { return at::gelu(x, "tanh"); }},
      {"relu", [](const at::Tensor& x) { return at::relu(x); }},
      {"silu", [](const at::Tensor& x) { return at::silu(x); }},
  };
  return table;
}

void parse_feed_forward(T5EncoderConfig& c, const Json& json, const std::filesystem::path& path) {
  const auto text = config_text(json, "feed_forward_proj", c.own_position_bias ? "gated-gelu" : "relu", path);
  auto name = text;
  c.gated = name.starts_with("gated-");
  if (c.gated) name = name.substr(6);
  if (c.gated && name == "gelu") name = "gelu_new";  // transformers means the tanh form by it
  const auto it = activations().find(name);
  if (it == activations().end())
    throw Error(path.string(),
                "\"feed_forward_proj\" is \"" + text +
                    "\": relu, gelu, gelu_new and silu are supported, each with \"gated-\" in front or not");
  c.activation = it->second;
}

}  // namespace

T5EncoderConfig T5Encoder::parse(const Json& json, const std::filesystem::path& path) {
  const auto type = config_text(json, "model_type", "t5", path);
  if (type != "t5" && type != "umt5")
    throw Error(path.string(), "\"model_type\" is \"" + type + "\": only t5 and umt5 are supported here");
  Config c;
  if (type == "umt5") {  // its own defaults
    c.own_position_bias = true;
    c.vocab_size = 250112, c.d_ff = 1024, c.num_layers = 8, c.num_heads = 6;
  }
  const auto read = [&](const char* key, int64_t& value, int64_t low, int64_t high) {
    value = config_integer(json, key, value, low, high, path);
  };
  read("vocab_size", c.vocab_size, 1, 10'000'000);
  read("d_model", c.d_model, 1, 65536);
  read("d_kv", c.d_kv, 1, 65536);
  read("d_ff", c.d_ff, 1, 262144);
  read("num_layers", c.num_layers, 1, 256);
  read("num_heads", c.num_heads, 1, 1024);
  read("relative_attention_num_buckets", c.relative_attention_num_buckets, 4, 65536);
  read("relative_attention_max_distance", c.relative_attention_max_distance, 1, 1'000'000);
  c.layer_norm_epsilon = config_number(json, "layer_norm_epsilon", c.layer_norm_epsilon, 0.0, 1.0, path);
  if (c.relative_attention_max_distance <= c.relative_attention_num_buckets / 4)
    throw Error(path.string(),
                "\"relative_attention_max_distance\" must exceed a quarter of "
                "\"relative_attention_num_buckets\"");
  parse_feed_forward(c, json, path);
  return c;
}

T5Encoder::Layer T5Encoder::bind_layer(const Config& c, Binder binder, bool first) {
  const auto linear = [](Binder& part, const char* name, int64_t in, int64_t out) {
    return part.linear(name, in, out, /*bias=*/false, Init::xavier_uniform);
  };
  const auto inner = c.num_heads * c.d_kv;
  Layer layer;
  layer.attention_norm = binder.rms_norm("layer.0.layer_norm", c.d_model, c.layer_norm_epsilon);
  auto attention = binder.sub("layer.0.SelfAttention.");
  layer.to_q = linear(attention, "q", c.d_model, inner);
  layer.to_k = linear(attention, "k", c.d_model, inner);
  layer.to_v = linear(attention, "v", c.d_model, inner);
  layer.to_out = linear(attention, "o", inner, c.d_model);
  if (first || c.own_position_bias)
    layer.bias_NH = attention.tensor("relative_attention_bias.weight",
                                     {c.relative_attention_num_buckets, c.num_heads}, Init::normal_002);
  layer.feed_forward_norm = binder.rms_norm("layer.1.layer_norm", c.d_model, c.layer_norm_epsilon);
  auto dense = binder.sub("layer.1.DenseReluDense.");
  if (c.gated) layer.gate = linear(dense, "wi_0", c.d_model, c.d_ff);
  layer.up = linear(dense, c.gated ? "wi_1" : "wi", c.d_model, c.d_ff);
  layer.down = linear(dense, "wo", c.d_ff, c.d_model);
  return layer;
}

T5Encoder T5Encoder::bind(const Config& c, Binder binder) {
  auto stack = binder.sub("encoder.");
  T5Encoder encoder;
  encoder.config_ = c;
  encoder.embedding_VD_ = binder.tensor(kEmbedding, {c.vocab_size, c.d_model}, Init::normal_002);
  for (int64_t i = 0; i < c.num_layers; ++i)
    encoder.layers_.push_back(bind_layer(c, stack.sub("block." + std::to_string(i) + "."), i == 0));
  encoder.final_norm_ = stack.rms_norm("final_layer_norm", c.d_model, c.layer_norm_epsilon);
  return encoder;
}

at::Tensor t5_position_buckets(int64_t length, int64_t buckets, int64_t max_distance) {
  const int64_t half = buckets / 2, exact = half / 2;
  const auto position_L = at::arange(length, at::kLong);
  const auto distance_LL = position_L.unsqueeze(0) - position_L.unsqueeze(1);
  const auto far_LL = distance_LL.abs();
  // In float32 and with this order of operations, as the original: a bucket's edge may lie on an integer.
  const double octaves = std::log(static_cast<double>(max_distance) / static_cast<double>(exact));
  const auto wide_LL =
      (at::log(far_LL.to(at::kFloat) / exact) / octaves * (half - exact)).to(at::kLong) + exact;
  const auto bucket_LL = at::where(far_LL < exact, far_LL, wide_LL.clamp_max(half - 1));
  return bucket_LL + (distance_LL > 0).to(at::kLong) * half;
}

at::Tensor T5Encoder::attend(const Layer& layer, const at::Tensor& x_BLD, const at::Tensor& bias_HLL) const {
  const int64_t batch = x_BLD.size(0), length = x_BLD.size(1), heads = config_.num_heads;
  const auto normed_BLD = rms_norm(layer.attention_norm, x_BLD);
  const auto split = [&](const Linear& linear) {  // one batch axis, as the products want it
    return linear(normed_BLD)
        .view({batch, length, heads, config_.d_kv})
        .transpose(1, 2)
        .reshape({batch * heads, length, config_.d_kv});
  };
  const auto logits = at::bmm(split(layer.to_q), split(layer.to_k).transpose(1, 2));
  const auto weights = (logits.view({batch, heads, length, length}) + bias_HLL).softmax(-1);
  const auto mixed = at::bmm(weights.view({batch * heads, length, length}), split(layer.to_v));
  return layer.to_out(
      mixed.view({batch, heads, length, config_.d_kv}).transpose(1, 2).reshape({batch, length, -1}));
}

at::Tensor T5Encoder::feed_forward(const Layer& layer, const at::Tensor& x_BLD) const {
  const auto normed_BLD = rms_norm(layer.feed_forward_norm, x_BLD);
  if (!config_.gated) return layer.down(config_.activation(layer.up(normed_BLD)));
  return layer.down(config_.activation(layer.gate(normed_BLD)) * layer.up(normed_BLD));
}

at::Tensor T5Encoder::operator()(const at::Tensor& ids_BL) const {
  TORCH_CHECK(ids_BL.dim() == 2 && ids_BL.numel() > 0, "token ids must be [B,L], not ", ids_BL.sizes());
  const auto [low, high] = at::aminmax(ids_BL);
  if (low.item<int64_t>() < 0 || high.item<int64_t>() >= config_.vocab_size)
    throw Error("", "a token id is outside of the T5 encoder's vocabulary of " +
                        std::to_string(config_.vocab_size) +
                        ": its tokenizer and text encoder do not belong together");
  const auto bucket_LL = t5_position_buckets(ids_BL.size(1), config_.relative_attention_num_buckets,
                                             config_.relative_attention_max_distance)
                             .to(embedding_VD_.device());
  auto x_BLD = at::embedding(embedding_VD_, ids_BL);
  at::Tensor bias_HLL;
  for (const auto& layer : layers_) {
    if (layer.bias_NH.defined())
      bias_HLL = at::embedding(layer.bias_NH, bucket_LL).permute({2, 0, 1}).contiguous();
    x_BLD = x_BLD + attend(layer, x_BLD, bias_HLL);
    x_BLD = x_BLD + feed_forward(layer, x_BLD);
  }
  return rms_norm(final_norm_, x_BLD);
}

TensorMap t5_encoder_weights(TensorMap tensors, const std::string& place) {
  std::erase_if(tensors, [](const auto& entry) {
    return entry.first.starts_with("decoder.") || entry.first == "lm_head.weight";
  });
  const auto tied = tensors.find(kTiedEmbedding);
  if (tied == tensors.end()) return tensors;
  const auto [shared, is_new] = tensors.emplace(kEmbedding, tied->second);
  if (!is_new && !at::equal(shared->second, tied->second))
    throw Error(place, std::string(kEmbedding) + " and " + kTiedEmbedding +
                           " differ; they are two names of one table");
  tensors.erase(kTiedEmbedding);
  return tensors;
}

}  // namespace thalweg
