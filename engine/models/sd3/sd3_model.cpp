#include "engine/models/sd3/sd3_model.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/models/folder_family.h"
#include "engine/models/sd3/sd3_text.h"
#include "engine/models/vae/picture_codec.h"

namespace thalweg {
namespace {

/// Patches of a picture, as the scheduler counts its size.
int64_t image_tokens(int64_t factor, const Sd3TransformerConfig& transformer, int64_t height, int64_t width) {
  return (height / factor / transformer.patch_size) * (width / factor / transformer.patch_size);
}

class Sd3Model final : public FolderFamily<Sd3Transformer, PictureCodec, Sd3Text> {
 public:
  Sd3Model(const std::filesystem::path& path, const ModelOptions& options) : FolderFamily(path, options) {}

  LatentShape latent_shape(int64_t height, int64_t width, int64_t frames) const override {
    return sd3_latent_shape(config_, codec_.factor(), height, width, frames);
  }
  Schedule schedule(int64_t steps, int64_t height, int64_t width) const override {
    return scheduler_.schedule(steps, image_tokens(codec_.factor(), config_, height, width));
  }
  Velocity bind(const TensorMap& parameters, const Adapter* adapter) const override {
    return sd3_velocity(bound(parameters, adapter), scheduler_.num_train_timesteps());
  }
  std::vector<std::string> default_lora_targets() const override { return sd3_default_lora_targets(config_); }
  LoraNames lora_names() const override { return sd3_lora_names(config_); }
  std::string architecture() const override { return sd3_architecture(config_); }
};

}  // namespace

LatentShape sd3_latent_shape(const Sd3TransformerConfig& config, int64_t factor, int64_t height,
                             int64_t width, int64_t frames) {
  const int64_t unit = factor * config.patch_size, limit = config.pos_embed_max_size * unit;
  if (frames != 1) throw Error("", "an SD3 model draws single images: frames must be 1");
  if (height % unit != 0 || width % unit != 0 || height > limit || width > limit)
    throw Error("", "height and width must be multiples of " + std::to_string(unit) + " up to " +
                        std::to_string(limit) + " for this model");
  return {config.in_channels, 1, height / factor, width / factor};
}

std::unique_ptr<FlowModel> load_sd3(const std::filesystem::path& folder, const ModelOptions& options) {
  return std::make_unique<Sd3Model>(folder, options);
}

Schedule read_sd3_schedule(const std::filesystem::path& path, const ModelOptions& options, int64_t steps,
                           int64_t height, int64_t width) {
  const auto folder = open_model_folder(path);
  const auto vae = parse_component<AutoencoderKl>(folder, "vae");
  return FolderScheduler(folder, options.scheduler)
      .schedule(steps, image_tokens(vae.factor(), parse_component<Sd3Transformer>(folder, "transformer"),
                                    height, width));
}

LoraNames read_sd3_lora_names(const std::filesystem::path& path) {
  return sd3_lora_names(parse_component<Sd3Transformer>(open_model_folder(path), "transformer"));
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
