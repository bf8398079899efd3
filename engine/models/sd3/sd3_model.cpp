#include "engine/models/sd3/sd3_model.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/models/component.h"
#include "engine/models/sd3/few_step_scheduler.h"
#include "engine/models/sd3/sd3_scheduler.h"
#include "engine/models/sd3/sd3_text.h"
#include "engine/models/vae/autoencoder_kl.h"
#include "engine/weights/safetensors.h"

namespace thalweg {
namespace {

Sd3TransformerConfig transformer_config(const ModelFolder& folder) {
  return parse_sd3_transformer_config(component_config(folder, "transformer"),
                                      folder.root / "transformer" / "config.json");
}

/// Patches of a picture, as the scheduler counts its size.
int64_t image_tokens(const AutoencoderKlConfig& vae, const Sd3TransformerConfig& transformer, int64_t height,
                     int64_t width) {
  return (height / vae.factor() / transformer.patch_size) * (width / vae.factor() / transformer.patch_size);
}

class Sd3Model final : public FlowModel, public LimitedText {
 public:
  Sd3Model(const std::filesystem::path& path, const ModelOptions& options)
      : folder_(open_model_folder(path, options.variant)),
        options_(options),
        scheduler_(folder_, options.scheduler),
        config_(transformer_config(folder_)),
        vae_config_(parse_component<AutoencoderKl>(folder_, "vae")),
        vae_(bind_component<AutoencoderKl>(folder_, "vae", vae_config_, component_weights(folder_, "vae"),
                                           options.vae_dtype, options.device)),
        text_(folder_, options, config_.joint_attention_dim, config_.pooled_projection_dim),
        backbone_(converted(component_weights(folder_, "transformer"), options.dtype, options.device)) {
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

  at::Device device() const override { return options_.device; }

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
    return {prompts, text_.encode(prompts)};
  }
  TextSource text_source() const override { return text_.source(); }
  void release_text_encoders() override { text_.release(); }
  std::vector<TextCut> cuts(const std::string& prompt) const override { return text_.cuts(prompt); }

  Schedule schedule(int64_t steps, int64_t height, int64_t width) const override {
    return scheduler_.schedule(steps, image_tokens(vae_config_, config_, height, width));
  }

  Velocity bind(const TensorMap& parameters, const Adapter* adapter) const override {
    Binder binder(parameters, (folder_.root / "transformer").string(), adapter);
    auto transformer = Sd3Transformer::bind(config_, binder);
    binder.finish();
    if (options_.activation_checkpointing) transformer.checkpoint_blocks();
    return sd3_velocity(std::move(transformer), scheduler_.num_train_timesteps());
  }

  const std::vector<ParameterSpec>& specs() const override { return specs_; }
  const TensorMap& backbone() const override { return backbone_; }

  TensorMap master_backbone() const override {
    TensorMap masters;
    for (const auto& [name, tensor] : component_weights(folder_, "transformer"))
      masters[name] = tensor.to(options_.masters_on_host ? at::kCPU : options_.device, at::kFloat,
                                /*non_blocking=*/false, /*copy=*/true);
    return masters;
  }

  std::vector<std::string> default_lora_targets() const override { return sd3_default_lora_targets(config_); }

  LoraNames lora_names() const override { return sd3_lora_names(config_); }
  std::string architecture() const override { return sd3_architecture(config_); }

  std::vector<std::filesystem::path> backbone_files() const override {
    auto files = component_files(folder_, "transformer");
    std::erase_if(files, [](const auto& file) { return file.extension() != ".safetensors"; });
    std::sort(files.begin(), files.end());
    return files;
  }

  at::Tensor decode(const at::Tensor& latents_BCFHW) const override {
    const auto z = vae_.unscaled(latents_BCFHW.squeeze(2)).to(options_.vae_dtype);
    const auto side = vae_config_.factor();
    std::vector<at::Tensor> parts;
    for (const auto& some : z.split(vae_config_.pictures_at_once(z.size(2) * side, z.size(3) * side)))
      parts.push_back(frames_from_pictures(vae_.decode(some).to(at::kFloat)));
    return (parts.size() == 1 ? parts[0] : at::cat(parts)).unsqueeze(1);
  }

  at::Tensor encode_frames(const at::Tensor& frames_BF3HW) const override {
    const c10::NoGradGuard no_grad;
    const auto x = frames_BF3HW.squeeze(1).to(options_.vae_dtype) * 2.0 - 1.0;
    std::vector<at::Tensor> parts;
    for (const auto& some : x.split(vae_config_.pictures_at_once(x.size(2), x.size(3))))
      parts.push_back(vae_.scaled(vae_.encode_moments(some).chunk(2, 1)[0].to(at::kFloat)));
    return at::cat(parts).unsqueeze(2);
  }

  std::vector<ModelFile> files() const override {
    std::vector<ModelFile> files = {
        {folder_.root / "transformer" / "config.json", "transformer/config.json"}};
    const auto add = [&](std::vector<ModelFile> more) {
      files.insert(files.end(), more.begin(), more.end());
    };
    if (scheduler_.has_file()) files.push_back({scheduler_.path(), kSchedulerConfig});
    add(component_copy(folder_, "vae"));
    add(text_.files());
    return files;
  }

  void save(const std::filesystem::path& folder, const TensorMap& parameters,
            at::ScalarType dtype) const override {
    copy_model(folder_, files(), folder);
    auto stored = component_weights(folder_, "transformer");
    for (const auto& [name, tensor] : parameters) stored[name] = tensor.detach().to(dtype);
    write_safetensors(folder / "transformer" / "diffusion_pytorch_model.safetensors", stored,
                      {{"format", "pt"}});
  }

 private:
  ModelFolder folder_;
  ModelOptions options_;
  Sd3Scheduler scheduler_;
  Sd3TransformerConfig config_;
  AutoencoderKlConfig vae_config_;
  AutoencoderKl vae_;
  Sd3Text text_;
  TensorMap backbone_;
  std::vector<ParameterSpec> specs_;
};

}  // namespace

std::unique_ptr<FlowModel> load_sd3(const std::filesystem::path& folder, const ModelOptions& options) {
  return std::make_unique<Sd3Model>(folder, options);
}

Schedule read_sd3_schedule(const std::filesystem::path& path, const ModelOptions& options, int64_t steps,
                           int64_t height, int64_t width) {
  const auto folder = open_model_folder(path);
  const auto vae = parse_component<AutoencoderKl>(folder, "vae");
  return Sd3Scheduler(folder, options.scheduler)
      .schedule(steps, image_tokens(vae, transformer_config(folder), height, width));
}

LoraNames read_sd3_lora_names(const std::filesystem::path& path) {
  return sd3_lora_names(transformer_config(open_model_folder(path)));
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
