#include "pipelines/machine_paths.h"

#include <filesystem>

namespace thalweg {

std::string last_component(const std::string& path) {
  const auto normal = std::filesystem::path(path).lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

Json without_machine_paths(Json json) {
  if (json.is_string()) {
    const auto& text = json.get_ref<const std::string&>();
    if (std::filesystem::path(text).is_absolute()) return last_component(text);
    return json;
  }
  if (json.is_structured())
    for (auto& value : json) value = without_machine_paths(std::move(value));
  return json;
}

}  // namespace thalweg
