#include "engine/models/flux/flux_model.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/models/flux/flux_text.h"
#include "engine/models/folder_family.h"
#include "engine/models/guidance_input.h"
#include "engine/models/vae/picture_codec.h"

namespace thalweg {
namespace {

constexpr auto kGrid = FlowGrid::even;

/// Pixels a token spans along each side.
int64_t unit_of(int64_t factor) {
  return factor * FluxTransformerConfig::kPatch;
}

int64_t nearest(int64_t side, int64_t unit) {
  return std::max(unit, (side + unit / 2) / unit * unit);
}

class FluxModel final : public FolderFamily<FluxTransformer, PictureCodec, FluxText> {
 public:
  FluxModel(const std::filesystem::path& path, const ModelOptions& options)
      : FolderFamily(path, options, kGrid) {}

  LatentShape latent_shape(int64_t height, int64_t width, int64_t frames) const override {
    return flux_latent_shape(config_, codec_.factor(), height, width, frames);
  }
  bool has_guidance_input() const override { return config_.guidance_embeds; }
  Schedule schedule(int64_t steps, int64_t height, int64_t width) const override {
    const auto unit = unit_of(codec_.factor());
    return scheduler_.schedule(steps, (height / unit) * (width / unit));
  }
  Velocity bind(const TensorMap& parameters, const Adapter* adapter) const override {
    return flux_velocity(bound(parameters, adapter), scheduler_.num_train_timesteps(),
                         options_.embedded_guidance.value_or(kDefaultEmbeddedGuidance));
  }
  std::vector<std::string> default_lora_targets() const override {
    return flux_default_lora_targets(config_);
  }
  LoraNames lora_names() const override { return flux_lora_names(config_); }
  std::string architecture() const override { return flux_architecture(config_); }
};

}  // namespace

LatentShape flux_latent_shape(const FluxTransformerConfig& config, int64_t factor, int64_t height,
                              int64_t width, int64_t frames) {
  const int64_t unit = unit_of(factor);
  if (frames != 1) throw Error("", "FLUX.1 draws single images: frames must be 1");
  if (height % unit != 0 || width % unit != 0)
    throw Error("", "height and width must be multiples of " + std::to_string(unit) +
                        " for this model: the nearest are " + std::to_string(nearest(height, unit)) +
                        " and " + std::to_string(nearest(width, unit)));
  return {config.latent_channels(), 1, height / factor, width / factor};
}

std::unique_ptr<FlowModel> load_flux(const std::filesystem::path& folder, const ModelOptions& options) {
  return std::make_unique<FluxModel>(folder, options);
}

Schedule read_flux_schedule(const std::filesystem::path& path, const ModelOptions& options, int64_t steps,
                            int64_t height, int64_t width) {
  const auto folder = open_model_folder(path);
  const auto unit = unit_of(parse_component<AutoencoderKl>(folder, "vae").factor());
  return FolderScheduler(folder, options.scheduler, kGrid).schedule(steps, (height / unit) * (width / unit));
}

LoraNames read_flux_lora_names(const std::filesystem::path& path) {
  return flux_lora_names(parse_component<FluxTransformer>(open_model_folder(path), "transformer"));
}

Velocity flux_velocity(FluxTransformer transformer, int64_t num_train_timesteps, double guidance) {
  return [transformer = std::move(transformer), scale = static_cast<double>(num_train_timesteps), guidance](
             const at::Tensor& x_BCFHW, const Step& step, const Conditioning& c) {
    const auto timestep_B = step.sigma_B.to(at::kFloat) * scale;
    const auto told = c.tensors.find(kGuidanceInput);
    const auto guidance_B =
        told == c.tensors.end() ? at::full_like(timestep_B, guidance) : told->second.to(timestep_B);
    return transformer(x_BCFHW.squeeze(2), timestep_B, guidance_B, c.tensors.at("prompt_embeds"),
                       c.tensors.at("pooled_prompt_embeds"))
        .unsqueeze(2)
        .to(x_BCFHW.scalar_type());
  };
}

}  // namespace thalweg
