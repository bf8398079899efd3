#include "engine/weights/folder.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/weights/safetensors.h"

namespace thalweg {
namespace {

constexpr const char* kIndexName = "model_index.json";

/// Component names become folder names.
bool is_component_name(const std::string& name) {
  const auto allowed = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
  return !name.empty() && name.size() <= 64 && name.front() != '_' &&
         std::all_of(name.begin(), name.end(), allowed);
}

std::vector<std::string> components_of(const ModelFolder& folder) {
  std::vector<std::string> names;
  for (const auto& [name, value] : folder.index.items())
    if (value.is_array() && is_component_name(name) && !value.at(0).is_null()) names.push_back(name);
  return names;
}

/// The library that the index names for a component; throws where there is none.
std::string library_of(const ModelFolder& folder, const std::string& name) {
  const auto place = (folder.root / kIndexName).string();
  if (!has_component(folder, name))
    throw Error(place, "lists no component \"" + name + "\"" + suggestion(name, components_of(folder)));
  const auto path = folder.root / name;
  std::error_code ec;
  if (!std::filesystem::is_directory(path, ec))
    throw Error(path.string(), "no such folder, though " + std::string(kIndexName) +
                                   " lists the component; it should "
                                   "hold config.json and .safetensors files");
  return folder.index.at(name).at(0).get<std::string>();
}

/// What the component's library calls its files of weights.
std::string weights_stem(const ModelFolder& folder, const std::string& name) {
  const auto library = library_of(folder, name);
  if (library == "diffusers") return "diffusion_pytorch_model";
  if (library == "transformers") return "model";
  throw Error((folder.root / kIndexName).string(), "component \"" + name + "\" is of library \"" + library +
                                                       "\"; diffusers and transformers are read");
}

void check_entry(const std::string& key, const Json& value, const std::string& place) {
  if (key.starts_with("_") || !value.is_array()) return;  // settings of the pipeline
  const auto name_or_null = [](const Json& v) { return v.is_string() || v.is_null(); };
  if (!is_component_name(key)) throw Error(place, "a component's name may hold letters, digits and '_' only");
  if (value.size() != 2 || !name_or_null(value[0]) || !name_or_null(value[1]) ||
      value[0].is_null() != value[1].is_null())
    throw Error(place, "component \"" + key + "\" must be [library, class] or [null, null]");
}

}  // namespace

ModelFolder open_model_folder(const std::filesystem::path& path) {
  std::error_code ec;
  if (!std::filesystem::is_directory(path, ec))
    throw Error(path.string(),
                "no such folder; a model is a folder in the diffusers layout, with model_index.json");
  const auto index_path = path / kIndexName;
  if (!std::filesystem::is_regular_file(index_path, ec))
    throw Error(path.string(), "has no model_index.json; save the model with pipe.save_pretrained(folder)");
  ModelFolder folder{path, parse_json_file(index_path, kMaxConfigBytes), ""};
  folder.class_name = config_text(folder.index, "_class_name", "", index_path);
  if (folder.class_name.empty()) throw Error(index_path.string(), "\"_class_name\" is missing");
  for (const auto& [key, value] : folder.index.items()) check_entry(key, value, index_path.string());
  return folder;
}

bool has_component(const ModelFolder& folder, const std::string& name) {
  const auto names = components_of(folder);
  return std::find(names.begin(), names.end(), name) != names.end();
}

Json component_config(const ModelFolder& folder, const std::string& name) {
  library_of(folder, name);
  const auto path = folder.root / name / "config.json";
  auto config = parse_json_file(path, kMaxConfigBytes);
  if (!config.is_object()) throw Error(path.string(), "must be a JSON object");
  return config;
}

TensorMap component_weights(const ModelFolder& folder, const std::string& name) {
  auto tensors = read_weights(folder.root / name, weights_stem(folder, name));
  std::erase_if(tensors, [](const auto& entry) { return entry.first.ends_with(".position_ids"); });
  return tensors;
}

std::vector<std::filesystem::path> component_files(const ModelFolder& folder, const std::string& name) {
  auto files = weight_files(folder.root / name, weights_stem(folder, name));
  files.push_back(folder.root / name / "config.json");
  return files;
}

void forget_machine_paths(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const auto name = entry.path().filename().string();
    const bool config =
        name == kIndexName || name == "special_tokens_map.json" || name.ends_with("config.json");
    if (!config || !entry.is_regular_file()) continue;
    auto json = parse_json_file(entry.path(), kMaxConfigBytes);
    if (!json.is_object()) continue;
    std::vector<std::string> keys;
    for (const auto& [key, value] : json.items())
      if (value.is_string() && value.get_ref<const std::string&>().size() > 1 &&
          fs::path(value.get<std::string>()).is_absolute())
        keys.push_back(key);
    for (const auto& key : keys) json.erase(key);
    if (!keys.empty()) write_file(entry.path(), json.dump(2) + "\n");
  }
}

}  // namespace thalweg
