#include "engine/models/mixture/mixture_model.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/core/noise_levels.h"
#include "engine/models/mixture/mixture_config.h"
#include "engine/models/schedulers/few_step_scheduler.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMeans = "means";
constexpr const char* kLogStds = "log_stds";
constexpr const char* kLogits = "logits";

// [..., K] of one list of each mixture.
at::Tensor rows(const MixtureConfig& config, std::vector<double> Mixture::*list) {
  std::vector<at::Tensor> rows;
  for (const auto& mixture : config.mixtures) rows.push_back(at::tensor(mixture.*list, at::kDouble));
  return at::stack(rows);
}

TensorMap parameters_of(const MixtureConfig& config) {
  return {{kMeans, rows(config, &Mixture::means)},
          {kLogStds, rows(config, &Mixture::stds).log()},
          {kLogits, rows(config, &Mixture::weights).log()}};
}

MixtureLaw bind_law(Binder& binder, const MixtureConfig& config) {
  const std::vector<int64_t> shape = {static_cast<int64_t>(config.mixtures.size()), config.components()};
  MixtureLaw raw;
  raw.means = binder.tensor(kMeans, shape, Init::zeros);
  raw.stds = binder.tensor(kLogStds, shape, Init::zeros);
  raw.log_weights = binder.tensor(kLogits, shape, Init::zeros);
  return raw;
}

// The law of each sample, ready to broadcast against x[..., 1].
MixtureLaw law_of(const MixtureLaw& raw, const at::Tensor& row_B) {
  const auto chosen = [&](const at::Tensor& rows_PK) {
    if (rows_PK.size(0) == 1) return rows_PK.select(0, 0).to(at::kDouble);
    return rows_PK.index_select(0, row_B).to(at::kDouble).view({-1, 1, 1, 1, 1, rows_PK.size(1)});
  };
  return {at::log_softmax(chosen(raw.log_weights), -1), chosen(raw.means), chosen(raw.stds).exp()};
}

fs::path scheduler_file(const ModelFolder& folder) {
  return folder.root / kSchedulerConfig;
}

struct Levels {
  double shift = 1.0;
  std::optional<FlowMatchEuler> generator = {};  // of few steps: at those its levels count
};

Levels read_levels(const ModelFolder& folder) {
  if (!has_component(folder, "scheduler")) return {};
  if (const auto& name = folder.index.at("scheduler").at(1); name != kFlowMatchEuler)
    throw Error((folder.root / kModelIndex).string(),
                "its scheduler, " + printable(name.get<std::string>(), 80) +
                    ", is not had here: FlowMatchEulerDiscreteScheduler is, with its shift");
  const auto path = scheduler_file(folder);
  const auto config = parse_json_file(path, kMaxConfigBytes);
  const double shift = config_number(config, "shift", 1.0, 1e-3, 1e3, path);
  if (auto generator = read_few_step_scheduler(path)) return {shift, std::move(generator)};
  for (const char* key : {"use_dynamic_shifting", "use_karras_sigmas", "use_exponential_sigmas",
                          "use_beta_sigmas", "invert_sigmas", "stochastic_sampling", "shift_terminal"})
    if (config.contains(key) && !config.at(key).is_null() && config.at(key) != false)
      throw Error(path.string(),
                  std::string("\"") + key + "\" is not read of a mixture's scheduler: shift is");
  return {shift};
}

std::vector<double> row(const at::Tensor& rows_PK, int64_t index) {
  const auto dense = rows_PK[index].contiguous();
  return {dense.const_data_ptr<double>(), dense.const_data_ptr<double>() + dense.numel()};
}

Schedule mixture_schedule(const ModelFolder& folder, const Levels& levels, int64_t steps) {
  if (levels.generator && levels.generator->few_steps == steps)
    return flow_match_schedule(*levels.generator, steps, 1, scheduler_file(folder));
  return schedule_between(steps, [&](int64_t i) {
    return shifted(static_cast<double>(steps - i) / static_cast<double>(steps), levels.shift);
  });
}

class MixtureModel final : public FlowModel {
 public:
  MixtureModel(const fs::path& path, const ModelOptions& options)
      : folder_(open_model_folder(path)),
        device_(options.device),
        config_(read_mixture_config(folder_)),
        levels_(read_levels(folder_)) {
    for (const auto& [name, tensor] : parameters_of(config_)) backbone_[name] = tensor.to(device_);
    for (const auto& prompt : config_.prompts)
      row_of_.emplace(prompt, static_cast<int64_t>(row_of_.size()) + 1);
    Binder declare;
    bind_law(declare, config_);
    specs_ = declare.specs();
  }

  at::Device device() const override { return device_; }
  at::ScalarType latent_dtype() const override { return at::kDouble; }

  LatentShape latent_shape(int64_t height, int64_t width, int64_t frames) const override {
    return checked_shape(config_, height, width, frames);
  }

  Conditioning encode(const std::vector<std::string>& prompts) const override {
    auto row_B = at::zeros({static_cast<int64_t>(prompts.size())}, at::kLong);
    for (size_t i = 0; i < prompts.size(); ++i)
      if (const auto it = row_of_.find(prompts[i]); it != row_of_.end())
        row_B.mutable_data_ptr<int64_t>()[i] = it->second;
    return {prompts, {{kMixtureComponent, row_B.to(device_)}}};
  }

  Schedule schedule(int64_t steps, int64_t, int64_t) const override {
    return mixture_schedule(folder_, levels_, steps);
  }

  Velocity bind(const TensorMap& parameters, const Adapter* adapter) const override {
    Binder binder(parameters, folder_.root.string(), adapter);
    const auto raw = bind_law(binder, config_);
    binder.finish();
    return [raw](const at::Tensor& x, const Step& step, const Conditioning& c) {
      // The law is worked out anew in each call, so that each has a graph of its own.
      return mixture_velocity(law_of(raw, c.tensors.at(kMixtureComponent)), x,
                              step.sigma_B.view({-1, 1, 1, 1, 1}))
          .to(x.scalar_type());
    };
  }

  const std::vector<ParameterSpec>& specs() const override { return specs_; }
  const TensorMap& backbone() const override { return backbone_; }
  TensorMap master_backbone() const override {
    TensorMap masters;
    for (const auto& [name, tensor] : backbone_) masters[name] = tensor.clone();
    return masters;
  }
  std::vector<std::string> default_lora_targets() const override { return {}; }
  LoraNames lora_names() const override { return {}; }
  std::string architecture() const override { return "gaussian-mixture"; }
  std::vector<fs::path> backbone_files() const override {
    return {folder_.root / kMixtureComponent / "config.json"};
  }

  at::Tensor decode(const at::Tensor& latents_BCFHW) const override {
    return latents_BCFHW.transpose(1, 2).expand({-1, -1, 3, -1, -1}).to(at::kFloat);
  }
  // Grey pictures come back as they were.
  at::Tensor encode_frames(const at::Tensor& frames_BF3HW) const override {
    return frames_BF3HW.to(at::kDouble).mean(2, /*keepdim=*/true).transpose(1, 2);
  }

  std::vector<ModelFile> files() const override {
    std::vector<ModelFile> files = {
        {folder_.root / kMixtureComponent / "config.json", fs::path(kMixtureComponent) / "config.json"}};
    if (has_component(folder_, "scheduler")) files.push_back({scheduler_file(folder_), kSchedulerConfig});
    return files;
  }

  /// The config holds weights and standard deviations, whose logarithms are read back: not the last bit of
  /// what they were.
  TensorMap as_saved(const TensorMap& parameters, at::ScalarType) const override {
    auto saved = parameters_of(config_with(parameters));
    for (auto& [name, tensor] : saved) tensor = tensor.to(device_);
    return saved;
  }

  void save(const fs::path& folder, const TensorMap& parameters, at::ScalarType) const override {
    copy_model(folder_, files(), folder);
    const auto json = with_mixtures(component_config(folder_, kMixtureComponent), config_with(parameters));
    write_file(folder / kMixtureComponent / "config.json", json.dump(2) + "\n");
  }

 private:
  /// Within the bounds of a config, so that it can be read: training knows none.
  MixtureConfig config_with(const TensorMap& parameters) const {
    const auto on_cpu = [&](const char* name) {
      return parameters.at(name).detach().to(at::kCPU, at::kDouble);
    };
    const auto means = on_cpu(kMeans).clamp(-kMixtureLargest, kMixtureLargest),
               stds = on_cpu(kLogStds).exp().clamp(kMixtureSmallestStd, kMixtureLargest),
               weights = at::softmax(on_cpu(kLogits), -1).clamp_min(kMixtureSmallestWeight);
    auto config = config_;
    for (size_t i = 0; i < config.mixtures.size(); ++i) {
      const auto p = static_cast<int64_t>(i);
      config.mixtures[i] = {row(weights, p), row(means, p), row(stds, p)};
    }
    return config;
  }

  ModelFolder folder_;
  at::Device device_;
  MixtureConfig config_;
  Levels levels_;
  std::map<std::string, int64_t> row_of_;  // of the prompts that have a mixture of their own
  TensorMap backbone_;
  std::vector<ParameterSpec> specs_;
};

}  // namespace

std::unique_ptr<FlowModel> load_mixture(const fs::path& folder, const ModelOptions& options) {
  return std::make_unique<MixtureModel>(folder, options);
}

Schedule read_mixture_schedule(const fs::path& path, const ModelOptions&, int64_t steps, int64_t, int64_t) {
  const auto folder = open_model_folder(path);
  return mixture_schedule(folder, read_levels(folder), steps);
}

LoraNames read_mixture_lora_names(const fs::path& folder) {
  read_mixture_config(open_model_folder(folder));
  return {};
}

ModelSize mixture_size(const fs::path& path, const ModelOptions&, int64_t height, int64_t width,
                       int64_t frames) {
  constexpr double kWide = 2.0;                                      // a float64 element counts as two
  constexpr double kOperations = 40.0, kAlive = 8.0, kSaved = 12.0;  // of one element and component
  const auto config = read_mixture_config(open_model_folder(path));
  const auto& s = checked_shape(config, height, width, frames);
  const auto elements = static_cast<double>(s.channels * s.frames * s.height * s.width);
  const double terms = elements * static_cast<double>(config.components());
  ModelSize size;
  Binder declare;
  bind_law(declare, config);
  size.specs = declare.specs();
  size.backbone = {
      kMixtureComponent,
      3.0 * static_cast<double>(config.mixtures.size()) * static_cast<double>(config.components()), 0.0};
  size.forward_flops = kOperations * terms;
  size.forward_elements = kWide * kAlive * terms;
  size.saved_elements = size.saved_for_input_elements = kWide * kSaved * terms;
  size.latent_elements = kWide * elements;
  size.frame_elements = 3.0 * static_cast<double>(s.frames * s.height * s.width);
  size.prompt_elements = kWide;
  return size;
}

}  // namespace thalweg
