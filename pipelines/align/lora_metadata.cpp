#include "pipelines/align/lora_metadata.h"

#include "engine/core/sha256.h"
#include "pipelines/machine_paths.h"

namespace thalweg {

std::string trained_rewards(const RewardSet& rewards) {
  Json json = Json::object();
  for (size_t k = 0; k < rewards.names_K().size(); ++k)
    if (rewards.weights_K()[k] != 0.0) json[rewards.names_K()[k]] = rewards.weights_K()[k];
  return json.dump();
}

std::vector<LoraBlock> exported_blocks(const TrainedModel& trained) {
  if (!trained.space.is_lora()) return {};
  NamedWeights rewards;
  const auto weights = parse_json(trained.rewards, "trained rewards");
  for (const auto& [name, weight] : weights.items()) rewards.emplace_back(name, weight.get<double>());
  return trained.options.method->blocks(rewards);
}

std::string modelspec_hash(const TensorMap& tensors) {
  Sha256 hash;
  stored_data(tensors, "LoRA", [&](std::string_view bytes) { hash.update(bytes); });
  return "0x" + hash.hex();
}

std::string job_name(const AlignOptions& o) {
  return o.name.empty() ? o.method.name() + " on " + last_component(o.model.path) : o.name;
}

Metadata lora_metadata(const TrainedModel& trained, const TensorMap& parameters, int64_t iteration) {
  const auto& [o, model, space, rewards, generator] = trained;
  const auto& size = o.sampler.size;
  return {
      {"modelspec.sai_model_spec", "1.0.1"},
      {"modelspec.architecture", model.architecture() + "/lora"},
      {"modelspec.implementation", "diffusers"},
      {"modelspec.title", job_name(o)},
      {"modelspec.resolution", std::to_string(size.width) + "x" + std::to_string(size.height)},
      {"modelspec.hash_sha256", modelspec_hash(parameters)},
      {"ss_network_dim", std::to_string(space.lora().rank)},
      {"ss_network_alpha", Json(space.lora().alpha).dump()},
      {"thalweg.job_name", job_name(o)},
      {"thalweg.method", o.method.name()},
      {"thalweg.rewards", rewards},
      {"thalweg.iteration", std::to_string(iteration)},
      {"thalweg.seed", std::to_string(o.seed)},
      {"thalweg.base_model", last_component(o.model.path)},
      {"thalweg.base_sha256", sha256_files(model.backbone_files())},
  };
}

Metadata block_metadata(Metadata whole, const TrainedModel& trained, const TensorMap& parameters,
                        const LoraBlock& block) {
  const auto strength = strength_of(trained.space.strength(), block);
  whole["modelspec.title"] += ", " + block.name;
  whole["modelspec.hash_sha256"] = modelspec_hash(parameters);
  whole["ss_network_dim"] = std::to_string(strength.rank);
  whole["ss_network_alpha"] = Json(strength.alpha).dump();
  whole["thalweg.head"] = block.name;
  whole["thalweg.head_weight"] = Json(block.weight).dump();
  return whole;
}

}  // namespace thalweg
