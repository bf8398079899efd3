// A model in the diffusers folder layout: model_index.json names the components, each a folder with
// config.json and safetensors (https://huggingface.co/docs/diffusers, "Model files and layouts").
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/json.h"
#include "engine/core/values.h"
#include "engine/weights/config.h"

namespace thalweg {

inline constexpr const char* kModelIndex = "model_index.json";
inline constexpr size_t kMaxConfigBytes = size_t{1} << 20;  // of a JSON file of a model

struct ModelFolder {
  std::filesystem::path root;
  Json index;              // model_index.json
  std::string class_name;  // of the pipeline
  std::string variant;     // of the weights that are read, "fp16"; empty: the plain ones
};

/// Throws Error when `path` is no folder, or its model_index.json is absent, malformed or without
/// "_class_name", or no component has weights of the variant. As in diffusers, a component that has not gives
/// its plain ones.
ModelFolder open_model_folder(const std::filesystem::path& path, const std::string& variant = "");

/// Whether the index lists the component (and not as [null, null]).
bool has_component(const ModelFolder& folder, const std::string& name);

/// The component's config.json. Throws Error when the folder has no such component.
Json component_config(const ModelFolder& folder, const std::string& name);

/// The component's tensors: "diffusion_pytorch_model" of diffusers' components, "model" of transformers'.
/// Buffers that old files of transformers hold and its present models derive (position_ids) are left out.
TensorMap component_weights(const ModelFolder& folder, const std::string& name);

/// What the component's library calls its files of weights: "diffusion_pytorch_model" or "model".
std::string weights_name(const ModelFolder& folder, const std::string& name);

/// The files that component_weights() and component_config() read, in this order.
std::vector<std::filesystem::path> component_files(const ModelFolder& folder, const std::string& name);

}  // namespace thalweg
