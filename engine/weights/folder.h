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

inline constexpr size_t kMaxConfigBytes = size_t{1} << 20;  // of a JSON file of a model

struct ModelFolder {
  std::filesystem::path root;
  Json index;              // model_index.json
  std::string class_name;  // of the pipeline
};

/// Throws Error when `path` is no folder, or its model_index.json is absent, malformed or without
/// "_class_name".
ModelFolder open_model_folder(const std::filesystem::path& path);

/// Whether the index lists the component (and not as [null, null]).
bool has_component(const ModelFolder& folder, const std::string& name);

/// The component's config.json. Throws Error when the folder has no such component.
Json component_config(const ModelFolder& folder, const std::string& name);

/// The component's tensors: "diffusion_pytorch_model" of diffusers' components, "model" of transformers'.
/// Buffers that old files of transformers hold and its present models derive (position_ids) are left out.
TensorMap component_weights(const ModelFolder& folder, const std::string& name);

/// The files that component_config() and component_weights() read.
std::vector<std::filesystem::path> component_files(const ModelFolder& folder, const std::string& name);

/// Removes absolute paths from the configs of a folder that was copied ("_name_or_path", "tokenizer_file"):
/// they say where a model once lay, and nothing reads them.
void forget_machine_paths(const std::filesystem::path& folder);

}  // namespace thalweg
