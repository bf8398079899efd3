#include "rewards/config_paths.h"

#include <set>
#include <system_error>

namespace thalweg {
namespace {

bool is_meant_as_path(const std::string& key, const std::filesystem::path& path) {
  static const std::set<std::string> kKeys = {"path",    "file",      "folder",    "model",
                                              "weights", "processor", "tokenizer", "checkpoint"};
  std::error_code ec;
  return path.has_parent_path() || kKeys.contains(key) ||
         (path.has_extension() && std::filesystem::is_regular_file(path, ec));
}

// A config is its reward's own; a text in it that is the path of something, and looks it, names a file. A
// word that happens to be the name of a folder here ("out", ".") does not.
void collect(const Json& config, const std::string& key, const std::string& pointer,
             std::vector<ConfigPath>& found) {
  if (config.is_structured()) {
    for (const auto& [name, value] : config.items())
      collect(value, config.is_object() ? name : key, pointer + "/" + name, found);
  } else if (config.is_string() && !config.get_ref<const std::string&>().empty()) {
    std::error_code ec;
    const std::filesystem::path path = config.get<std::string>();
    if (std::filesystem::exists(path, ec) && is_meant_as_path(key, path)) found.push_back({pointer, path});
  }
}

}  // namespace

std::vector<ConfigPath> paths_in(const Json& config, const std::string& pointer) {
  std::vector<ConfigPath> found;
  collect(config, "", pointer, found);
  return found;
}

}  // namespace thalweg
