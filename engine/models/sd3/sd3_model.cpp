#include "engine/models/sd3/sd3_model.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "engine/core/error.h"
#include "engine/weights/folder.h"
#include "engine/weights/safetensors.h"

namespace thalweg {
namespace {

TensorMap converted(TensorMap tensors, at::ScalarType dtype) {
  for (auto& [name, tensor] : tensors) tensor = tensor.to(dtype);
  return tensors;
}

template <typename Model, typename Config>
Model bind_component(const ModelFolder& folder, const std::string& name, const Config& config,
                     at::ScalarType dtype) {
  const auto tensors = converted(component_weights(folder, name), dtype);
  Binder binder(tensors, (folder.root / name).string());
  auto model = Model::bind(config, binder);
  binder.finish();
  return model;
}

struct TextTower {
  ClipTokenizer tokenizer;
  ClipTextEncoder encoder;
};

TextTower load_tower(const ModelFolder& folder, const std::string& suffix, at::ScalarType dtype) {
  const auto name = "text_encoder" + suffix;
  const auto config =
      ClipTextEncoder::parse(component_config(folder, name), folder.root / name / "config.json");
  return {ClipTokenizer::load(folder.root / ("tokenizer" + suffix)),
          bind_component<ClipTextEncoder>(folder, name, config, dtype)};
}

class Sd3Model final : public FlowModel {
 public:
  Sd3Model(const std::filesystem::path& path, const ModelOptions& options)
      : folder_(open_model_folder(path)),
        options_(options),
        config_(parse_sd3_transformer_config(component_config(folder_, "transformer"),
                                             folder_.root / "transformer" / "config.json")),
        vae_config_(
            AutoencoderKl::parse(component_config(folder_, "vae"), folder_.root / "vae" / "config.json")),
        vae_(bind_component<AutoencoderKl>(folder_, "vae", vae_config_, options.vae_dtype)),
        first_(load_tower(folder_, "", options.dtype)),
        second_(load_tower(folder_, "_2", options.dtype)),
        backbone_(converted(component_weights(folder_, "transformer"), options.dtype)) {
    read_scheduler();
    const auto third = folder_.index.find("text_encoder_3");
    if (third != folder_.index.end() && third->is_array() && !third->at(0).is_null())
      throw Error(
          (folder_.root / "text_encoder_3").string(),
          "T5 is not supported yet; remove text_encoder_3 from model_index.json to run without it, as "
          "diffusers does with text_encoder_3=None");
    if (vae_config_.latent_channels != config_.in_channels)
      throw Error(folder_.root.string(),
                  "the VAE's latent_channels differ from the transformer's in_channels");
    Binder declare;
    Sd3Transformer::bind(config_, declare);
    specs_ = declare.specs();
    Binder check(backbone_, (folder_.root / "transformer").string());
    Sd3Transformer::bind(config_, check);
    check.finish();
  }

  LatentShape latent_shape(int64_t height, int64_t width, int64_t frames) const override {
    const int64_t unit = vae_config_.factor() * config_.patch_size;
    if (frames != 1) throw Error("", "an SD3 model draws single images: frames must be 1");
    const int64_t limit = config_.pos_embed_max_size * unit;
    if (height % unit != 0 || width % unit != 0 || height > limit || width > limit)
      throw Error("", "height and width must be multiples of " + std::to_string(unit) + " up to " +
                          std::to_string(limit) + " for this model");
    return {config_.in_channels, 1, height / vae_config_.factor(), width / vae_config_.factor()};
  }

  Conditioning encode(const std::vector<std::string>& prompts) const override {
    c10::NoGradGuard no_grad;
    const auto first_ids = token_ids(first_.tokenizer, prompts),
               second_ids = token_ids(second_.tokenizer, prompts);
    return {prompts, sd3_conditioning(first_.encoder, first_ids, second_.encoder, second_ids,
                                      config_.joint_attention_dim, options_.max_sequence_length)};
  }

  Schedule schedule(int64_t steps) const override {
    return sd3_schedule(steps, shift_, num_train_timesteps_);
  }

  Velocity bind(const TensorMap& parameters, const Adapter* adapter) const override {
    Binder binder(parameters, (folder_.root / "transformer").string(), adapter);
    auto transformer = Sd3Transformer::bind(config_, binder);
    binder.finish();
    return sd3_velocity(std::move(transformer), num_train_timesteps_);
  }

  const std::vector<ParameterSpec>& specs() const override { return specs_; }
  const TensorMap& backbone() const override { return backbone_; }

  TensorMap master_backbone() const override {
    TensorMap masters;
    for (const auto& [name, tensor] : component_weights(folder_, "transformer"))
      masters[name] = tensor.to(at::kFloat).clone();
    return masters;
  }

  std::vector<std::string> default_lora_targets() const override {
    std::vector<std::string> targets = {"attn.to_q",      "attn.to_k",       "attn.to_v",
                                        "attn.to_out.0",  "attn.add_q_proj", "attn.add_k_proj",
                                        "attn.add_v_proj"};
    if (config_.num_layers > 1) targets.push_back("attn.to_add_out");  // the last block has none
    return targets;
  }

  at::Tensor decode(const at::Tensor& latents_BCFHW) const override {
    c10::NoGradGuard no_grad;
    const auto z = vae_.unscaled(latents_BCFHW.squeeze(2)).to(options_.vae_dtype);
    return at::clamp(vae_.decode(z).to(at::kFloat) * 0.5 + 0.5, 0.0, 1.0).unsqueeze(1);
  }

  void save(const std::filesystem::path& folder, const TensorMap& parameters) const override {
    namespace fs = std::filesystem;
    fs::create_directories(folder);
    fs::copy(folder_.root, folder, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    TensorMap stored = parameters;
    const auto original = component_weights(folder_, "transformer");
    for (auto& [name, tensor] : stored) tensor = tensor.detach().to(original.at(name).scalar_type());
    for (const auto& entry : fs::directory_iterator(folder / "transformer"))
      if (entry.path().filename() != "config.json") fs::remove(entry.path());
    write_safetensors(folder / "transformer" / "diffusion_pytorch_model.safetensors", stored,
                      {{"format", "pt"}});
  }

 private:
  void read_scheduler() {
    const auto path = folder_.root / "scheduler" / "scheduler_config.json";
    const auto config = parse_json_file(path);
    shift_ = config_number(config, "shift", 1.0, 1e-3, 1e3, path);
    num_train_timesteps_ = config_integer(config, "num_train_timesteps", 1000, 1, 1000000, path);
    for (const char* key : {"use_dynamic_shifting", "use_karras_sigmas", "use_exponential_sigmas",
                            "use_beta_sigmas", "invert_sigmas", "stochastic_sampling"})
      if (config_bool(config, key, false, path))
        throw Error(path.string(), std::string(key) + " is not supported for SD3; set it to false");
    if (const auto terminal = config.find("shift_terminal"); terminal != config.end() && !terminal->is_null())
      throw Error(path.string(), "shift_terminal is not supported for SD3; set it to null");
  }

  ModelFolder folder_;
  ModelOptions options_;
  Sd3TransformerConfig config_;
  AutoencoderKlConfig vae_config_;
  AutoencoderKl vae_;
  TextTower first_, second_;
  TensorMap backbone_;
  std::vector<ParameterSpec> specs_;
  double shift_ = 1.0;
  int64_t num_train_timesteps_ = 1000;
};

}  // namespace

std::unique_ptr<FlowModel> load_sd3(const std::filesystem::path& folder, const ModelOptions& options) {
  return std::make_unique<Sd3Model>(folder, options);
}

Schedule sd3_schedule(int64_t steps, double shift, int64_t num_train_timesteps) {
  const auto shifted = [&](double sigma) { return shift * sigma / (1.0 + (shift - 1.0) * sigma); };
  const double sigma_min = shifted(1.0 / static_cast<double>(num_train_timesteps));
  Schedule schedule;
  for (int64_t i = 0; i < steps; ++i) {
    const double u = steps == 1 ? 0.0 : static_cast<double>(i) / static_cast<double>(steps - 1);
    schedule.sigmas.push_back(shifted(1.0 + (sigma_min - 1.0) * u));
  }
  schedule.sigmas.push_back(0.0);
  return schedule;
}

at::Tensor token_ids(const ClipTokenizer& tokenizer, const std::vector<std::string>& prompts) {
  std::vector<int64_t> ids;
  for (const auto& prompt : prompts) {
    const auto row = tokenizer.encode(prompt);
    ids.insert(ids.end(), row.begin(), row.end());
  }
  return at::tensor(ids, at::kLong).view({static_cast<int64_t>(prompts.size()), -1});
}

TensorMap sd3_conditioning(const ClipTextEncoder& first, const at::Tensor& first_ids_BL,
                           const ClipTextEncoder& second, const at::Tensor& second_ids_BL,
                           int64_t joint_attention_dim, int64_t t5_tokens) {
  const auto a = first(first_ids_BL), b = second(second_ids_BL);
  auto embeds_BLD = at::cat({a.penultimate_BLD, b.penultimate_BLD}, -1);
  embeds_BLD = at::constant_pad_nd(embeds_BLD, {0, joint_attention_dim - embeds_BLD.size(2)});
  if (t5_tokens > 0) {
    const auto zeros = at::zeros({embeds_BLD.size(0), t5_tokens, joint_attention_dim}, embeds_BLD.options());
    embeds_BLD = at::cat({embeds_BLD, zeros}, 1);
  }
  return {{"prompt_embeds", embeds_BLD}, {"pooled_prompt_embeds", at::cat({a.pooled_BP, b.pooled_BP}, -1)}};
}

Velocity sd3_velocity(Sd3Transformer transformer, int64_t num_train_timesteps) {
  return [transformer = std::move(transformer), scale = static_cast<double>(num_train_timesteps)](
             const at::Tensor& x_BCFHW, const Step& step, const Conditioning& c) {
    // Rounded before it is scaled, as the scheduler of diffusers does: the network sees the same time to the
    // last bit.
    const auto timestep_B = step.sigma_B.to(at::kFloat) * scale;
    return transformer(x_BCFHW.squeeze(2), timestep_B, c.tensors.at("prompt_embeds"),
                       c.tensors.at("pooled_prompt_embeds"))
        .unsqueeze(2)
        .to(x_BCFHW.scalar_type());
  };
}

}  // namespace thalweg
