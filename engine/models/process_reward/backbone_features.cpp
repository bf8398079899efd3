// The generator's own blocks as features of noised latents: PAVRM (Euphonium's group, PRFL), the first 8
// blocks of Wan; DiNa-LRM, the first 12 of SD3.5 with a LoRA. Here both streams after one block, for SD3.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <set>

#include "engine/core/dtypes.h"
#include "engine/core/error.h"
#include "engine/core/sha256.h"
#include "engine/models/component.h"
#include "engine/models/flow_model.h"
#include "engine/models/process_reward/features.h"
#include "engine/models/schedulers/folder_scheduler.h"
#include "engine/models/sd3/sd3_text.h"
#include "engine/models/sd3/transformer.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

ModelOptions options_of(const ProcessRewardConfig::Backbone& config, at::Device device) {
  ModelOptions options;
  options.dtype = dtype_named(config.dtype);
  options.max_sequence_length = config.max_sequence_length;
  options.device = device;
  options.variant = config.variant;
  return options;
}

ModelFolder opened(const fs::path& model, const ProcessRewardConfig::Backbone& config) {
  auto folder = open_model_folder(model, config.variant);
  if (folder.class_name != "StableDiffusion3Pipeline")
    throw Error((folder.root / kModelIndex).string(),
                "is a " + folder.class_name +
                    ", and blocks are taken of StableDiffusion3Pipeline alone; use the network \"own\"");
  return folder;
}

Sd3TransformerConfig transformer_config(const ModelFolder& folder, int64_t depth) {
  const auto path = folder.root / "transformer" / "config.json";
  auto config = parse_sd3_transformer_config(component_config(folder, "transformer"), path);
  if (depth > config.num_layers)
    throw Error(path.string(), "has " + std::to_string(config.num_layers) + " blocks, and a depth of " +
                                   std::to_string(depth) + " was asked for");
  return config;
}

Sd3Text text_of(const ModelFolder& folder, const Sd3TransformerConfig& transformer,
                const ModelOptions& options) {
  return {folder, options, transformer};
}

std::string digest(const ModelFolder& folder, const Sd3Text& text) {
  auto files = component_files(folder, "transformer");
  for (const auto& file : text.files()) files.push_back(file.source);
  return sha256_files(files);
}

class BackboneFeatures final : public LatentFeatures {
 public:
  BackboneFeatures(const ProcessRewardConfig::Backbone& config, const fs::path& model, at::Device device)
      : o_(config),
        folder_(opened(model, config)),
        transformer_(transformer_config(folder_, config.depth)),
        num_train_timesteps_(FolderScheduler(folder_).num_train_timesteps()),
        text_(text_of(folder_, transformer_, options_of(config, device))) {
    if (const auto now = config.sha256.empty() ? "" : digest(folder_, text_); now != config.sha256)
      throw Error(folder_.root.string(),
                  "is not the model that the process reward was trained on: the sha256 of its files differs");
    Binder declare;
    Sd3Transformer::bind_trunk(transformer_, declare, config.depth);
    trunk_specs_ = declare.specs();
    std::set<std::string> wanted;
    for (const auto& spec : trunk_specs_) wanted.insert(spec.name);
    auto all = component_weights(folder_, "transformer");
    std::erase_if(all, [&](const auto& entry) { return !wanted.contains(entry.first); });
    trunk_ = converted(std::move(all), dtype_named(config.dtype), device);
    bound(nullptr);  // what is missing or misshapen is said now
  }

  int64_t width() const override { return transformer_.width(); }
  int64_t streams() const override { return 2; }

  FeatureStreams bind(Binder binder) const override {
    const auto adapter = bind_adapter(std::move(binder));
    return [t = bound(adapter.tensors.empty() ? nullptr : &adapter),
            scale = static_cast<double>(num_train_timesteps_)](
               const at::Tensor& x_BCFHW, const at::Tensor& sigma_B, const Conditioning& c) {
      const auto s = t.features(x_BCFHW.squeeze(2), sigma_B.to(at::kFloat) * scale,
                                c.tensors.at("prompt_embeds"), c.tensors.at("pooled_prompt_embeds"));
      return std::vector<at::Tensor>{s.x_BLD.to(at::kFloat), s.context_BLD.to(at::kFloat)};
    };
  }

  Conditioning encode(const std::vector<std::string>& prompts) const override {
    const c10::NoGradGuard no_grad;
    return {prompts, text_.encode(prompts)};
  }

  void require(int64_t channels, int64_t frames, int64_t height, int64_t width) const override {
    const int64_t p = transformer_.patch_size, most = transformer_.pos_embed_max_size * p;
    if (channels != transformer_.in_channels || frames != 1 || height % p != 0 || width % p != 0 ||
        height > most || width > most || height < p || width < p)
      throw Error("", "latents of [" + std::to_string(channels) + "," + std::to_string(frames) + "," +
                          std::to_string(height) + "," + std::to_string(width) +
                          "] do not fit its backbone: " + std::to_string(transformer_.in_channels) +
                          " channels, one frame, sides of multiples of " + std::to_string(p) + " up to " +
                          std::to_string(most));
  }

 private:
  Sd3Transformer bound(const Adapter* adapter) const {
    Binder binder(trunk_, (folder_.root / "transformer").string(), adapter);
    auto trunk = Sd3Transformer::bind_trunk(transformer_, binder, o_.depth);
    binder.finish();
    return trunk;
  }

  // A LoRA on the layers of diffusers' choice; B is 0, so that it starts as the generator's own blocks.
  Adapter bind_adapter(Binder binder) const {
    Adapter adapter;
    if (o_.rank == 0) return adapter;
    adapter.scale = o_.alpha / static_cast<double>(o_.rank);
    const auto targets = sd3_default_lora_targets(transformer_);
    for (const auto& spec : trunk_specs_) {
      if (spec.shape.size() != 2 || !spec.name.ends_with(".weight")) continue;
      const auto module = spec.name.substr(0, spec.name.size() - 7);
      if (std::none_of(targets.begin(), targets.end(),
                       [&](const auto& t) { return module.ends_with("." + t); }))
        continue;
      const auto a = module + ".lora_A.weight", b = module + ".lora_B.weight";
      const auto down = binder.tensor(a, {o_.rank, spec.shape[1]}, Init::kaiming_uniform, spec.shape[1]);
      const auto up = binder.tensor(b, {spec.shape[0], o_.rank}, Init::zeros);
      if (!down.defined() || !up.defined()) continue;  // it declares, or will say what is missing
      adapter.tensors[a] = down.to(dtype_named(o_.dtype));
      adapter.tensors[b] = up.to(dtype_named(o_.dtype));
    }
    return adapter;
  }

  const ProcessRewardConfig::Backbone o_;
  const ModelFolder folder_;
  const Sd3TransformerConfig transformer_;
  const int64_t num_train_timesteps_;
  const Sd3Text text_;
  std::vector<ParameterSpec> trunk_specs_;
  TensorMap trunk_;
};

}  // namespace

std::unique_ptr<LatentFeatures> backbone_features(const ProcessRewardConfig::Backbone& config,
                                                  const fs::path& model, at::Device device) {
  return std::make_unique<BackboneFeatures>(config, model, device);
}

void require_backbone(const fs::path& model, const ProcessRewardConfig::Backbone& config) {
  transformer_config(opened(model, config), config.depth);
}

std::string backbone_sha256(const fs::path& model, const ProcessRewardConfig::Backbone& config) {
  const auto folder = opened(model, config);
  const auto transformer = transformer_config(folder, config.depth);
  return digest(folder, text_of(folder, transformer, options_of(config, at::kCPU)));
}

}  // namespace thalweg
