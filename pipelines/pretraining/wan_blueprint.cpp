// WanPipeline (Wan 2.1, text to video) with a UMT5 whose tokenizer knows the world's words.
#include <ATen/ATen.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/models/text/prompt_ids.h"
#include "engine/models/wan/autoencoder_kl_wan.h"
#include "engine/models/wan/transformer.h"
#include "engine/models/wan/wan_model.h"
#include "engine/optim/gradients.h"
#include "engine/weights/config.h"
#include "pipelines/pretraining/blueprint.h"
#include "pipelines/pretraining/parts.h"
#include "pipelines/pretraining/vocabulary.h"

namespace thalweg {
namespace {

const std::string kTransformer = "transformer/", kText = "text_encoder/";
constexpr int64_t kEnd = 1;  // </s>

Json text_config(Json config, int64_t vocabulary) {
  config["model_type"] = "umt5";
  config["vocab_size"] = vocabulary;
  config["eos_token_id"] = kEnd;
  config["pad_token_id"] = 0;
  return config;
}

/// Latents that enter the flow as they are, until the VAE has been trained.
Json plain_vae_config(Json config) {
  const auto channels = config_integer(config, "z_dim", 16, 1, 1024, "/architecture/vae");
  config["latents_mean"] = std::vector<double>(static_cast<size_t>(channels), 0.0);
  config["latents_std"] = std::vector<double>(static_cast<size_t>(channels), 1.0);
  return config;
}

// Channels before frames.
at::Tensor seen(const at::Tensor& x_BF3HW) {
  return x_BF3HW.transpose(1, 2);
}

class WanBlueprint final : public Blueprint {
 public:
  WanBlueprint(const PretrainOptions& o, const World& world)
      : architecture_(o.architecture), tokens_(o.max_sequence_length) {
    if (tokens_ < world.longest_caption() + 1)
      throw Error("/max_sequence_length", "must be at least " + std::to_string(world.longest_caption() + 1) +
                                              ": the longest caption of the world, and an end");
    words_ = t5_word_tokenizer(world.words(), tokens_);
    text_config_ = text_config(part("text_encoder"), words_.size);
    transformer_ = WanTransformer::parse(part("transformer"), "/architecture/transformer");
    vae_ = AutoencoderKlWan::parse(plain_vae_config(part("vae")), "/architecture/vae");
    text_ = T5Encoder::parse(text_config_, "/architecture/text_encoder");
    if (text_.d_model != transformer_.text_dim)
      throw Error("/architecture/text_encoder/d_model", "must be the transformer's text_dim");
    if (vae_.z_dim != transformer_.in_channels)
      throw Error("/architecture/vae/z_dim", "must be the transformer's in_channels");
    num_train_timesteps_ =
        config_integer(part("scheduler"), "num_train_timesteps", 1000, 1, 1000000, "/architecture/scheduler");
    try {
      const auto shape =
          wan_latent_shape(transformer_, vae_.factor(), o.data.size, o.data.size, o.data.frames);
      latent_sizes_ = shape.sizes();
    } catch (const Error& error) {
      throw Error("/data", error.what());
    }
  }

  void write(const std::filesystem::path& folder) const override {
    write_files(folder / "tokenizer", words_.files);
    write_config(folder / "transformer", "_class_name", "WanTransformer3DModel", part("transformer"));
    write_config(folder / "text_encoder", "architectures", Json::array({"UMT5EncoderModel"}), text_config_);
    write_config(folder / "scheduler", "_class_name", "FlowMatchEulerDiscreteScheduler", part("scheduler"),
                 "scheduler_config.json");
    write_model_index(folder, "WanPipeline",
                      {{"boundary_ratio", nullptr},
                       {"expand_timesteps", false},
                       {"scheduler", {"diffusers", "FlowMatchEulerDiscreteScheduler"}},
                       {"text_encoder", {"transformers", "UMT5EncoderModel"}},
                       {"tokenizer", {"transformers", "T5TokenizerFast"}},
                       {"transformer", {"diffusers", "WanTransformer3DModel"}},
                       {"transformer_2", {nullptr, nullptr}},
                       {"vae", {"diffusers", "AutoencoderKLWan"}}});
  }

  TensorMap initial_autoencoder(uint64_t seed) const override {
    Binder declare;
    AutoencoderKlWan::bind(vae_, declare);
    auto parameters = initial_parameters(declare.specs(), seed);
    // A log variance of 0 would be noise as large as the latents: nothing is learnt through it for long.
    parameters.at("quant_conv.bias").slice(0, vae_.z_dim).fill_(-5.0);
    return parameters;
  }
  Autoencoder autoencoder(const TensorMap& weights) const override {
    const auto vae = AutoencoderKlWan::bind(vae_, Binder(weights, "vae"));
    return {[vae](const at::Tensor& x) { return vae.encode_moments(seen(x)); },
            [vae](const at::Tensor& z) { return vae.decode(z).transpose(1, 2); }};
  }
  std::vector<int64_t> latent_sizes() const override { return latent_sizes_; }
  Json autoencoder_config(const at::Tensor& latents) const override {
    const auto by_channel = latents.transpose(0, 1).flatten(1).to(at::kDouble);
    const auto list = [](const at::Tensor& values) {
      return std::vector<double>(values.data_ptr<double>(), values.data_ptr<double>() + values.numel());
    };
    Json config = {{"_class_name", "AutoencoderKLWan"}};
    config.update(part("vae"));
    config["latents_mean"] = list(by_channel.mean(1).contiguous());
    config["latents_std"] = list(by_channel.std(1).contiguous());
    return config;
  }
  std::function<at::Tensor(const at::Tensor&)> encoder(const std::filesystem::path& folder,
                                                       at::ScalarType dtype) const override {
    return trained_encoder<AutoencoderKlWan>(folder, dtype, &seen);
  }

  TensorMap initial_flow(uint64_t seed) const override {
    Binder transformer, text;
    WanTransformer::bind(transformer_, transformer);
    T5Encoder::bind(text_, text);
    auto words = initial_parameters(text.specs(), seed);
    // T5's own start: words as large as what layers add to them, and queries that make up for products
    // which nothing scales.
    for (auto& [name, tensor] : words) {
      if (name == "shared.weight") tensor.mul_(50.0);  // of 0.02
      if (name.ends_with(".q.weight")) tensor.mul_(1.0 / std::sqrt(static_cast<double>(text_.d_kv)));
    }
    auto state = with_prefix(initial_parameters(transformer.specs(), seed), kTransformer);
    state.merge(with_prefix(words, kText));
    return state;
  }
  bool is_block_matrix(const std::string& name) const override {
    const bool in_block =
        name.starts_with(kTransformer + "blocks.") || name.starts_with(kText + "encoder.block.");
    return in_block && !name.ends_with("relative_attention_bias.weight");
  }
  at::Tensor ids(const std::filesystem::path& folder,
                 const std::vector<std::string>& captions) const override {
    return token_ids(T5Tokenizer::load(folder / "tokenizer"), captions, tokens_);
  }
  at::Tensor velocity(const TensorMap& weights, const at::Tensor& x, const at::Tensor& sigma_B,
                      const at::Tensor& ids_BL) const override {
    const auto backbone = without_prefix(weights, kTransformer), words = without_prefix(weights, kText);
    const auto transformer = WanTransformer::bind(transformer_, Binder(backbone, "transformer"));
    const auto text = T5Encoder::bind(text_, Binder(words, "text_encoder"));
    return transformer(x, sigma_B * static_cast<double>(num_train_timesteps_), embeds(text, ids_BL));
  }
  void write_flow(const std::filesystem::path& folder, const TensorMap& tensors,
                  at::ScalarType dtype) const override {
    write_component(folder / "transformer", "diffusion_pytorch_model",
                    cast(without_prefix(tensors, kTransformer), dtype));
    write_component(folder / "text_encoder", "model", without_prefix(tensors, kText));
  }

 private:
  const Json& part(const std::string& name) const { return architecture_part(architecture_, name); }

  /// As WanText::encode: each caption at its own length, zeros behind its end.
  at::Tensor embeds(const T5Encoder& text, const at::Tensor& ids_BL) const {
    const auto lengths_B = ids_BL.eq(kEnd).to(at::kLong).argmax(1).add(1);
    std::vector<at::Tensor> rows, parts;
    for (int64_t length = 1; length <= tokens_; ++length) {
      const auto of_length = lengths_B.eq(length).nonzero().squeeze(1);
      if (of_length.numel() == 0) continue;
      const auto features = text(ids_BL.index_select(0, of_length).slice(1, 0, length));
      parts.push_back(at::constant_pad_nd(features, {0, 0, 0, tokens_ - length}));
      rows.push_back(of_length);
    }
    return at::cat(parts).index_select(0, at::argsort(at::cat(rows)));
  }

  const Json& architecture_;
  int64_t tokens_, num_train_timesteps_;
  WordTokenizer words_;
  Json text_config_;
  WanTransformerConfig transformer_;
  AutoencoderKlWanConfig vae_;
  T5EncoderConfig text_;
  std::vector<int64_t> latent_sizes_;
};

}  // namespace

std::unique_ptr<Blueprint> make_wan_blueprint(const PretrainOptions& options, const World& world) {
  return std::make_unique<WanBlueprint>(options, world);
}

}  // namespace thalweg
