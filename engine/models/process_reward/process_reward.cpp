#include "engine/models/process_reward/process_reward.h"

#include <ATen/ATen.h>

#include <utility>

#include "engine/core/error.h"
#include "engine/models/component.h"
#include "engine/models/process_reward/head.h"
#include "engine/weights/safetensors.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr const char *kConfig = "config.json", *kWeights = "model";

std::unique_ptr<LatentFeatures> make_features(const ProcessRewardConfig& c, const fs::path& model,
                                              at::Device device) {
  return c.network == "own" ? own_features(c.own, c.channels) : backbone_features(c.backbone, model, device);
}

}  // namespace

ProcessReward::ProcessReward(const ProcessRewardConfig& config, const fs::path& model, at::Device device)
    : config_(config), features_(make_features(config, model, device)) {
  Binder declare;
  bind(declare);
  specs_ = declare.specs();
}

NoisyValue ProcessReward::bind(const TensorMap& parameters, const std::string& place) const {
  const Binder binder(parameters, place);
  auto value = bind(binder);
  binder.finish();
  return value;
}

NoisyValue ProcessReward::bind(Binder binder) const {
  return
      [streams = features_->bind(binder.sub("features.")),
       head = ProcessHead::bind(config_.head, features_->width(), features_->streams(), binder.sub("head."))](
          const at::Tensor& x_BCFHW, const at::Tensor& sigma_B, const Conditioning& c) {
        return head(streams(x_BCFHW, sigma_B, c), sigma_B);
      };
}

void save_process_reward(const fs::path& folder, ProcessRewardConfig config, const TensorMap& parameters) {
  fs::create_directories(folder);
  if (config.network == "backbone") {
    const auto relative = fs::relative(config.backbone.path, folder);
    if (!relative.empty()) config.backbone.path = relative.generic_string();
  }
  write_safetensors(folder / (std::string(kWeights) + ".safetensors"), parameters, {{"format", "pt"}});
  write_file(folder / kConfig, to_json(config).dump(2) + "\n");
}

SavedProcessReward load_process_reward(const fs::path& folder, const fs::path& model, at::Device device) {
  const auto path = folder / kConfig;
  const auto config = parse_process_reward(parse_json_file(path, kMaxConfigBytes), path);
  if (config.network == "backbone" && config.backbone.sha256.empty())
    throw Error(path.string(), "does not say the sha256 of its backbone");
  const auto backbone = model.empty() ? folder / config.backbone.path : model;
  const auto structure = std::make_shared<const ProcessReward>(config, backbone.lexically_normal(), device);
  const auto weights = converted(read_weights(folder, kWeights), at::kFloat, device);
  require_finite(weights, folder.string());
  auto network = structure->bind(weights, (folder / "model.safetensors").string());
  return {structure, [network = std::move(network), scale = config.scale, offset = config.offset](
                         const at::Tensor& x, const at::Tensor& sigma_B, const Conditioning& c) {
            return network(x, sigma_B, c) * scale + offset;
          }};
}

}  // namespace thalweg
