// What the blueprints share: components' configs, files, and weights by their component's name.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "engine/core/json.h"
#include "engine/core/values.h"

namespace thalweg {

/// The component's config; throws Error at /architecture/NAME where there is none.
const Json& architecture_part(const Json& architecture, const std::string& name);

/// `config` with "_class_name", or another key, in front of it.
void write_config(const std::filesystem::path& folder, const std::string& class_key, const Json& class_value,
                  const Json& config, const char* file = "config.json");

/// model_index.json: `parts` beside the pipeline's class.
void write_model_index(const std::filesystem::path& folder, const std::string& pipeline, const Json& parts);

TensorMap with_prefix(const TensorMap& tensors, const std::string& prefix);
/// Those that have it, without it.
TensorMap without_prefix(const TensorMap& tensors, const std::string& prefix);

void write_files(const std::filesystem::path& folder, const std::map<std::string, std::string>& files);

/// One file of weights, diffusion_pytorch_model or model, in a component's folder.
void write_component(const std::filesystem::path& folder, const std::string& stem, const TensorMap& tensors);

}  // namespace thalweg
