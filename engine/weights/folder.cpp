#include "engine/weights/folder.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/weights/safetensors.h"

namespace thalweg {
namespace {

/// Component names become folder names.
/// Letters, digits and '_' only.
bool is_plain(const std::string& name) {
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
}

bool is_component_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && name.front() != '_' && is_plain(name);
}

std::vector<std::string> components_of(const ModelFolder& folder) {
  std::vector<std::string> names;
  for (const auto& [name, value] : folder.index.items())
    if (value.is_array() && is_component_name(name) && !value.at(0).is_null()) names.push_back(name);
  return names;
}

/// The library that the index names for a component; throws where there is none.
std::string library_of(const ModelFolder& folder, const std::string& name) {
  const auto place = (folder.root / kModelIndex).string();
  if (!has_component(folder, name))
    throw Error(place, "lists no component \"" + name + "\"" + suggestion(name, components_of(folder)));
  const auto path = folder.root / name;
  std::error_code ec;
  if (!std::filesystem::is_directory(path, ec))
    throw Error(path.string(), "no such folder, though " + std::string(kModelIndex) +
                                   " lists the component; it should "
                                   "hold config.json and .safetensors files");
  return folder.index.at(name).at(0).get<std::string>();
}

void check_entry(const std::string& key, const Json& value, const std::string& place) {
  if (key.starts_with("_") || !value.is_array()) return;  // settings of the pipeline
  const auto name_or_null = [](const Json& v) { return v.is_string() || v.is_null(); };
  if (!is_component_name(key)) throw Error(place, "a component's name may hold letters, digits and '_' only");
  if (value.size() != 2 || !name_or_null(value[0]) || !name_or_null(value[1]) ||
      value[0].is_null() != value[1].is_null())
    throw Error(place, "component \"" + key + "\" must be [library, class] or [null, null]");
}

/// What a folder that is none of diffusers' may be instead.
[[noreturn]] void refuse_without_index(const std::filesystem::path& path) {
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(path, ec))
    if (entry.path().extension() == ".safetensors" || entry.path().extension() == ".ckpt")
      throw Error(
          path.string(),
          "has no model_index.json; its " + printable(entry.path().filename().string(), 80) +
              " may be a whole model in one file, which diffusers turns into a folder: python -c \"from "
              "diffusers import StableDiffusion3Pipeline as P; P.from_single_file('FILE')"
              ".save_pretrained('OUT')\" (or FluxPipeline)");
  throw Error(path.string(), "has no model_index.json; save the model with pipe.save_pretrained(folder)");
}

/// The folder's variant where the component has weights of it.
std::string variant_of(const ModelFolder& folder, const std::string& name) {
  if (folder.variant.empty()) return {};
  return has_variant(folder.root / name, weights_name(folder, name), folder.variant) ? folder.variant : "";
}

bool is_of_known_library(const ModelFolder& folder, const std::string& name) {
  const auto& library = folder.index.at(name).at(0);
  return library == "diffusers" || library == "transformers";
}

void require_variant(const ModelFolder& folder) {
  const auto& variant = folder.variant;
  if (variant.size() > 32 || !is_plain(variant))
    throw Error(folder.root.string(), "variant \"" + printable(variant, 32) +
                                          "\" may hold letters, digits and '_' only, as \"fp16\" does");
  for (const auto& name : components_of(folder)) {
    std::error_code ec;
    if (is_of_known_library(folder, name) && std::filesystem::is_directory(folder.root / name, ec) &&
        !variant_of(folder, name).empty())
      return;
  }
  throw Error(folder.root.string(), "no component has weights of the variant \"" + variant + "\" (*." +
                                        variant +
                                        ".safetensors); leave the job's \"variant\" out for the plain ones");
}

}  // namespace

std::string weights_name(const ModelFolder& folder, const std::string& name) {
  const auto library = library_of(folder, name);
  if (library == "diffusers") return "diffusion_pytorch_model";
  if (library == "transformers") return "model";
  throw Error((folder.root / kModelIndex).string(), "component \"" + name + "\" is of library \"" + library +
                                                        "\"; diffusers and transformers are read");
}

ModelFolder open_model_folder(const std::filesystem::path& path, const std::string& variant) {
  std::error_code ec;
  if (!std::filesystem::is_directory(path, ec))
    throw Error(path.string(),
                "no such folder; a model is a folder in the diffusers layout, with model_index.json");
  const auto index_path = path / kModelIndex;
  if (!std::filesystem::is_regular_file(index_path, ec)) refuse_without_index(path);
  ModelFolder folder{path, parse_json_file(index_path, kMaxConfigBytes), "", variant};
  folder.class_name = config_text(folder.index, "_class_name", "", index_path);
  if (folder.class_name.empty()) throw Error(index_path.string(), "\"_class_name\" is missing");
  for (const auto& [key, value] : folder.index.items()) check_entry(key, value, index_path.string());
  if (!variant.empty()) require_variant(folder);
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
  auto tensors = read_weights(folder.root / name, weights_name(folder, name), variant_of(folder, name));
  std::erase_if(tensors, [](const auto& entry) { return entry.first.ends_with(".position_ids"); });
  return tensors;
}

std::vector<std::filesystem::path> component_files(const ModelFolder& folder, const std::string& name) {
  auto files = weight_files(folder.root / name, weights_name(folder, name), variant_of(folder, name));
  files.push_back(folder.root / name / "config.json");
  return files;
}

}  // namespace thalweg
