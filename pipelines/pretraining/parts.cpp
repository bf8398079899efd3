#include "pipelines/pretraining/parts.h"

#include "engine/core/error.h"
#include "engine/weights/safetensors.h"

namespace thalweg {

const Json& architecture_part(const Json& architecture, const std::string& name) {
  const auto it = architecture.find(name);
  if (it == architecture.end() || !it->is_object())
    throw Error("/architecture/" + name, "must be the component's config.json as an object");
  return *it;
}

void write_config(const std::filesystem::path& folder, const std::string& class_key, const Json& class_value,
                  const Json& config, const char* file) {
  Json whole = {{class_key, class_value}};
  whole.update(config);
  std::filesystem::create_directories(folder);
  write_file(folder / file, whole.dump(2) + "\n");
}

void write_model_index(const std::filesystem::path& folder, const std::string& pipeline, const Json& parts) {
  Json index = {{"_class_name", pipeline}, {"_diffusers_version", "0.42.1"}};
  index.update(parts);
  write_file(folder / "model_index.json", index.dump(2) + "\n");
}

TensorMap with_prefix(const TensorMap& tensors, const std::string& prefix) {
  TensorMap result;
  for (const auto& [name, tensor] : tensors) result[prefix + name] = tensor;
  return result;
}

TensorMap without_prefix(const TensorMap& tensors, const std::string& prefix) {
  TensorMap result;
  for (const auto& [name, tensor] : tensors)
    if (name.starts_with(prefix)) result[name.substr(prefix.size())] = tensor;
  return result;
}

void write_files(const std::filesystem::path& folder, const std::map<std::string, std::string>& files) {
  std::filesystem::create_directories(folder);
  for (const auto& [name, content] : files) write_file(folder / name, content);
}

void write_component(const std::filesystem::path& folder, const std::string& stem, const TensorMap& tensors) {
  std::filesystem::create_directories(folder);
  write_safetensors(folder / (stem + ".safetensors"), tensors, {{"format", "pt"}});
}

}  // namespace thalweg
