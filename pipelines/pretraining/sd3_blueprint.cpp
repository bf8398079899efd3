// StableDiffusion3Pipeline without T5: two CLIP text encoders, whose tokenizers know the world's words.
#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/models/sd3/sd3_model.h"
#include "engine/models/sd3/sd3_text.h"
#include "engine/models/vae/autoencoder_kl.h"
#include "engine/optim/gradients.h"
#include "engine/weights/config.h"
#include "pipelines/pretraining/blueprint.h"
#include "pipelines/pretraining/parts.h"
#include "pipelines/pretraining/vocabulary.h"

namespace thalweg {
namespace {

const std::string kTransformer = "transformer/", kFirst = "text_encoder/", kSecond = "text_encoder_2/";

/// A text encoder's config with what follows from the tokenizer filled in.
Json text_config(Json config, int64_t vocabulary, int64_t tokens) {
  config["model_type"] = "clip_text_model";
  config["vocab_size"] = vocabulary;
  config["max_position_embeddings"] = tokens;
  config["bos_token_id"] = vocabulary - 2;
  config["eos_token_id"] = vocabulary - 1;
  config["pad_token_id"] = vocabulary - 1;
  return config;
}

// [B,1,3,H,W] as pictures.
at::Tensor seen(const at::Tensor& x_BF3HW) {
  return x_BF3HW.squeeze(1);
}

class Sd3Blueprint final : public Blueprint {
 public:
  Sd3Blueprint(const PretrainOptions& o, const World& world)
      : architecture_(o.architecture), t5_tokens_(o.max_sequence_length), side_(o.data.size) {
    if (o.data.frames != 1) throw Error("/data/frames", "must be 1 for the family sd3, which makes pictures");
    const int64_t tokens = world.longest_caption() + 2;  // a begin and an end
    words_ = clip_word_tokenizer(world.words(), tokens);
    first_config_ = text_config(part("text_encoder"), words_.size, tokens);
    second_config_ = text_config(part("text_encoder_2"), words_.size, tokens);
    transformer_ = parse_sd3_transformer_config(part("transformer"), "/architecture/transformer");
    vae_ = AutoencoderKl::parse(part("vae"), "/architecture/vae");
    first_ = ClipTextEncoder::parse(first_config_, "/architecture/text_encoder");
    second_ = ClipTextEncoder::parse(second_config_, "/architecture/text_encoder_2");
    num_train_timesteps_ =
        config_integer(part("scheduler"), "num_train_timesteps", 1000, 1, 1000000, "/architecture/scheduler");
  }

  void write(const std::filesystem::path& folder) const override {
    for (const char* name : {"tokenizer", "tokenizer_2"}) write_files(folder / name, words_.files);
    const Json clip = Json::array({"CLIPTextModelWithProjection"});
    write_config(folder / "transformer", "_class_name", "SD3Transformer2DModel", part("transformer"));
    write_config(folder / "text_encoder", "architectures", clip, first_config_);
    write_config(folder / "text_encoder_2", "architectures", clip, second_config_);
    write_config(folder / "scheduler", "_class_name", "FlowMatchEulerDiscreteScheduler", part("scheduler"),
                 "scheduler_config.json");
    const Json absent = Json::array({nullptr, nullptr});
    write_model_index(folder, "StableDiffusion3Pipeline",
                      {{"feature_extractor", absent},
                       {"image_encoder", absent},
                       {"scheduler", {"diffusers", "FlowMatchEulerDiscreteScheduler"}},
                       {"text_encoder", {"transformers", "CLIPTextModelWithProjection"}},
                       {"text_encoder_2", {"transformers", "CLIPTextModelWithProjection"}},
                       {"text_encoder_3", absent},
                       {"tokenizer", {"transformers", "CLIPTokenizer"}},
                       {"tokenizer_2", {"transformers", "CLIPTokenizer"}},
                       {"tokenizer_3", absent},
                       {"transformer", {"diffusers", "SD3Transformer2DModel"}},
                       {"vae", {"diffusers", "AutoencoderKL"}}});
  }

  TensorMap initial_autoencoder(uint64_t seed) const override {
    Binder declare;
    AutoencoderKl::bind(vae_, declare);
    return initial_parameters(declare.specs(), seed);
  }
  Autoencoder autoencoder(const TensorMap& weights) const override {
    const auto vae = AutoencoderKl::bind(vae_, Binder(weights, "vae"));
    return {[vae](const at::Tensor& x) { return vae.encode_moments(seen(x)); },
            [vae](const at::Tensor& z) { return vae.decode(z).unsqueeze(1); }};
  }
  std::vector<int64_t> latent_sizes() const override {
    return {vae_.latent_channels, side_ / vae_.factor(), side_ / vae_.factor()};
  }
  Json autoencoder_config(const at::Tensor& latents) const override {
    Json config = {{"_class_name", "AutoencoderKL"}};
    config.update(part("vae"));
    config["shift_factor"] = latents.mean().item<double>();
    config["scaling_factor"] = 1.0 / latents.std().item<double>();
    return config;
  }
  std::function<at::Tensor(const at::Tensor&)> encoder(const std::filesystem::path& folder,
                                                       at::ScalarType dtype) const override {
    return trained_encoder<AutoencoderKl>(folder, dtype, &seen);
  }

  TensorMap initial_flow(uint64_t seed) const override {
    Binder transformer, first, second;
    Sd3Transformer::bind(transformer_, transformer);
    ClipTextEncoder::bind(first_, first);
    ClipTextEncoder::bind(second_, second);
    auto state = with_prefix(initial_parameters(transformer.specs(), seed), kTransformer);
    state.merge(with_prefix(initial_parameters(first.specs(), seed), kFirst));
    state.merge(with_prefix(initial_parameters(second.specs(), seed), kSecond));
    return state;
  }
  bool is_block_matrix(const std::string& name) const override {
    return name.find("transformer_blocks.") != std::string::npos;
  }
  at::Tensor ids(const std::filesystem::path& folder,
                 const std::vector<std::string>& captions) const override {
    return token_ids(ClipTokenizer::load(folder / "tokenizer"), captions);  // both are the same
  }
  at::Tensor velocity(const TensorMap& weights, const at::Tensor& x, const at::Tensor& sigma_B,
                      const at::Tensor& ids_BL) const override {
    auto backbone = without_prefix(weights, kTransformer);
    backbone["pos_embed.pos_embed"] = position_table().to(backbone.begin()->second.scalar_type());
    const auto first_weights = without_prefix(weights, kFirst);
    const auto second_weights = without_prefix(weights, kSecond);
    const auto transformer = Sd3Transformer::bind(transformer_, Binder(backbone, "transformer"));
    const auto first = ClipTextEncoder::bind(first_, Binder(first_weights, "text_encoder"));
    const auto second = ClipTextEncoder::bind(second_, Binder(second_weights, "text_encoder_2"));
    const auto t5_1LD = at::zeros({1, t5_tokens_, transformer_.joint_attention_dim});
    const auto c = sd3_conditioning(first, ids_BL, second, ids_BL, t5_1LD);
    return transformer(x, sigma_B * static_cast<double>(num_train_timesteps_), c.at("prompt_embeds"),
                       c.at("pooled_prompt_embeds"));
  }
  void write_flow(const std::filesystem::path& folder, const TensorMap& tensors,
                  at::ScalarType dtype) const override {
    auto backbone = without_prefix(tensors, kTransformer);
    backbone["pos_embed.pos_embed"] = position_table();
    write_component(folder / "transformer", "diffusion_pytorch_model", cast(backbone, dtype));
    for (const auto& name : {kFirst, kSecond})
      write_component(folder / name, "model", without_prefix(tensors, name));
  }

 private:
  const Json& part(const std::string& name) const { return architecture_part(architecture_, name); }

  // Made when the flow asks for it: of a large model it is large, and a check needs none.
  const at::Tensor& position_table() const {
    if (!position_table_.defined()) position_table_ = sd3_position_table(transformer_);
    return position_table_;
  }

  const Json& architecture_;
  int64_t t5_tokens_, side_, num_train_timesteps_;
  WordTokenizer words_;
  Json first_config_, second_config_;
  Sd3TransformerConfig transformer_;
  AutoencoderKlConfig vae_;
  ClipTextConfig first_, second_;
  mutable at::Tensor position_table_;
};

}  // namespace

std::unique_ptr<Blueprint> make_sd3_blueprint(const PretrainOptions& options, const World& world) {
  return std::make_unique<Sd3Blueprint>(options, world);
}

}  // namespace thalweg
