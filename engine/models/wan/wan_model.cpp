#include "engine/models/wan/wan_model.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/models/component.h"
#include "engine/models/folder_model.h"
#include "engine/models/wan/video_codec.h"
#include "engine/models/wan/wan_text.h"

namespace thalweg {
namespace {

constexpr int64_t kTime = AutoencoderKlWanConfig::kTimeFactor;
constexpr int64_t kNoTokens = 1;  // no scheduler of Wan asks how many there are

/// Of Wan 2.2. "boundary_ratio" alone means nothing: folders of 2.1 carry it too.
void refuse_wan_22(const ModelFolder& folder) {
  const auto place = (folder.root / kModelIndex).string();
  if (has_component(folder, "transformer_2"))
    throw Error(place, "lists transformer_2: Wan 2.2's two experts are not supported, Wan 2.1 is");
  if (config_bool(folder.index, "expand_timesteps", false, folder.root / kModelIndex))
    throw Error(place, "\"expand_timesteps\" is true: times by token (Wan 2.2 TI2V) are not supported");
}

/// What is wrong with `side`, a multiple of `unit` up to `most`; empty: nothing.
std::string complaint(const char* name, int64_t side, int64_t unit, int64_t most, int64_t offset) {
  const int64_t k = (side - offset) / unit;
  if ((side - offset) % unit == 0 && side >= offset + (offset == 0 ? unit : 0) && k * unit + offset <= most)
    return {};
  const auto clamped = [&](int64_t value) { return std::clamp(value, offset == 0 ? unit : offset, most); };
  const auto below = clamped(k * unit + offset), above = clamped((k + 1) * unit + offset);
  const auto nearest =
      below == above ? std::to_string(below) : std::to_string(below) + " and " + std::to_string(above);
  const auto rule = offset == 0 ? "a multiple of " + std::to_string(unit)
                                : std::to_string(unit) + " k + " + std::to_string(offset);
  return std::string(name) + " must be " + rule + " up to " + std::to_string(most) +
         " for this model, unlike " + std::to_string(side) + ": the nearest " +
         (below == above ? "is " : "are ") + nearest;
}

class WanModel final : public FolderModel {
 public:
  WanModel(const std::filesystem::path& path, const ModelOptions& options)
      : FolderModel(path, options),
        config_(parse_component<WanTransformer>(folder_, "transformer")),
        codec_(folder_, options.vae_dtype, options.device, config_.in_channels),
        text_(folder_, options, config_.text_dim) {
    refuse_wan_22(folder_);
    read_backbone([&](const Binder& binder) { WanTransformer::bind(config_, binder); });
  }

  LatentShape latent_shape(int64_t height, int64_t width, int64_t frames) const override {
    return wan_latent_shape(config_, codec_.config().factor(), height, width, frames);
  }

  Conditioning encode(const std::vector<std::string>& prompts) const override {
    return {prompts, text_.encode(prompts)};
  }
  TextSource text_source() const override { return text_.source(); }
  void release_text_encoders() override { text_.release(); }
  std::vector<TextCut> cuts(const std::string& prompt) const override { return text_.cuts(prompt); }

  Schedule schedule(int64_t steps, int64_t, int64_t) const override {
    return scheduler_.schedule(steps, kNoTokens);
  }

  Velocity bind(const TensorMap& parameters, const Adapter* adapter) const override {
    const auto binder = backbone_binder(parameters, adapter);
    auto transformer = WanTransformer::bind(config_, binder);
    binder.finish();
    if (options_.activation_checkpointing) transformer.checkpoint_blocks();
    return wan_velocity(std::move(transformer), scheduler_.num_train_timesteps());
  }

  std::vector<std::string> default_lora_targets() const override { return wan_default_lora_targets(); }
  LoraNames lora_names() const override { return wan_lora_names(config_); }
  std::string architecture() const override { return wan_architecture(config_); }

  at::Tensor decode(const at::Tensor& latents_BCFHW) const override { return codec_.decode(latents_BCFHW); }
  at::Tensor encode_frames(const at::Tensor& frames_BF3HW) const override {
    return codec_.encode(frames_BF3HW);
  }

 private:
  std::vector<ModelFile> frozen_files() const override {
    auto files = component_copy(folder_, "vae");
    for (auto& file : text_.files()) files.push_back(std::move(file));
    return files;
  }

  const WanTransformerConfig config_;
  const VideoCodec codec_;
  WanText text_;
};

}  // namespace

LatentShape wan_latent_shape(const WanTransformerConfig& config, int64_t factor, int64_t height,
                             int64_t width, int64_t frames) {
  const int64_t longest = config.rope_max_seq_len;
  for (const auto& [name, side, unit, offset] :
       {std::tuple{"height", height, factor * config.patch_size[1], int64_t{0}},
        {"width", width, factor * config.patch_size[2], int64_t{0}},
        {"frames", frames, kTime, int64_t{1}}})
    if (const auto wrong = complaint(name, side, unit, unit * (longest - offset) + offset, offset);
        !wrong.empty())
      throw Error("", wrong);
  return {config.in_channels, (frames - 1) / kTime + 1, height / factor, width / factor};
}

std::unique_ptr<FlowModel> load_wan(const std::filesystem::path& folder, const ModelOptions& options) {
  return std::make_unique<WanModel>(folder, options);
}

Schedule read_wan_schedule(const std::filesystem::path& path, const ModelOptions& options, int64_t steps,
                           int64_t, int64_t) {
  return FolderScheduler(open_model_folder(path), options.scheduler).schedule(steps, kNoTokens);
}

LoraNames read_wan_lora_names(const std::filesystem::path& path) {
  return wan_lora_names(parse_component<WanTransformer>(open_model_folder(path), "transformer"));
}

Velocity wan_velocity(WanTransformer transformer, int64_t num_train_timesteps) {
  return [transformer = std::move(transformer), scale = static_cast<double>(num_train_timesteps)](
             const at::Tensor& x_BCFHW, const Step& step, const Conditioning& c) {
    return transformer(x_BCFHW, step.sigma_B.to(at::kFloat) * scale, c.tensors.at("prompt_embeds"))
        .to(x_BCFHW.scalar_type());
  };
}

}  // namespace thalweg
