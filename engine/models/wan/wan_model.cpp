#include "engine/models/wan/wan_model.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/models/folder_family.h"
#include "engine/models/wan/video_codec.h"
#include "engine/models/wan/wan_text.h"

namespace thalweg {
namespace {

constexpr int64_t kTime = AutoencoderKlWanConfig::kTimeFactor;
constexpr int64_t kNoTokens = 1;  // no scheduler of Wan asks how many there are

/// The path, unless it is of Wan 2.2, which is refused before anything large is read. "boundary_ratio" alone
/// means nothing: folders of 2.1 carry it too.
const std::filesystem::path& without_wan_22(const std::filesystem::path& path) {
  const auto folder = open_model_folder(path);
  const auto place = (folder.root / kModelIndex).string();
  if (has_component(folder, "transformer_2"))
    throw Error(place, "lists transformer_2: Wan 2.2's two experts are not supported, Wan 2.1 is");
  if (config_bool(folder.index, "expand_timesteps", false, folder.root / kModelIndex))
    throw Error(place, "\"expand_timesteps\" is true: times by token (Wan 2.2 TI2V) are not supported");
  return path;
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

class WanModel final : public FolderFamily<WanTransformer, VideoCodec, WanText> {
 public:
  WanModel(const std::filesystem::path& path, const ModelOptions& options)
      : FolderFamily(without_wan_22(path), options) {}

  LatentShape latent_shape(int64_t height, int64_t width, int64_t frames) const override {
    return wan_latent_shape(config_, codec_.factor(), height, width, frames);
  }
  Schedule schedule(int64_t steps, int64_t, int64_t) const override {
    return scheduler_.schedule(steps, kNoTokens);
  }
  Velocity bind(const TensorMap& parameters, const Adapter* adapter) const override {
    return wan_velocity(bound(parameters, adapter), scheduler_.num_train_timesteps());
  }
  std::vector<std::string> default_lora_targets() const override { return wan_default_lora_targets(); }
  LoraNames lora_names() const override { return wan_lora_names(config_); }
  std::string architecture() const override { return wan_architecture(config_); }
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
