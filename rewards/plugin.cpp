#include "rewards/plugin.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <system_error>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "rewards/instance.h"
#include "rewards/library.h"
#include "rewards/text.h"

namespace fs = std::filesystem;

namespace thalweg {
namespace {

constexpr const char *kSuffix = ".so", *kScript = ".py";

/// Files of a folder that end so, sorted by name.
std::vector<fs::path> files_in(const fs::path& dir, const char* suffix) {
  std::vector<fs::path> found;
  std::error_code failure;
  for (fs::directory_iterator it(dir, failure), end; !failure && it != end; it.increment(failure))
    if (it->path().extension() == suffix) found.push_back(it->path());
  std::sort(found.begin(), found.end());
  return found;
}

PluginFile installed(const std::string& name, const std::vector<fs::path>& dirs, const std::string& pointer) {
  std::set<std::string> known;
  for (const auto& suffix : {kSuffix, kScript})
    for (const auto& dir : dirs)
      for (const auto& path : files_in(dir, suffix)) {
        if (path.stem() == name) return {.path = path, .name = name};
        known.insert(path.stem().string());
      }
  throw Error(pointer + "/plugin",
              "there is no reward plugin \"" + name + "\"" + suggestion(name, {known.begin(), known.end()}) +
                  "; name one that `thalweg plugins` lists, or write the path of a .so file");
}

bool inside(const fs::path& path, const std::vector<fs::path>& dirs) {
  std::error_code failure;
  const auto folder = fs::weakly_canonical(path, failure).parent_path();
  return !failure && std::any_of(dirs.begin(), dirs.end(), [&](const fs::path& dir) {
    std::error_code absent;
    return fs::equivalent(folder, dir, absent) && !absent;
  });
}

/// Makes an instance, which loads nothing, only to ask for its extensions.
bool offers_gradient(PluginLibrary& library, const thalweg_reward_descriptor& descriptor) {
  return PluginInstance(library, descriptor, library.path().string(), nullptr).gradient() != nullptr;
}

PluginInfo describe(PluginLibrary& library, const thalweg_reward_descriptor& d) {
  PluginInfo info;
  info.path = library.path();
  info.plugin = library.path().stem().string();
  info.id = d.id;
  info.name = d.name;
  info.vendor = d.vendor;
  info.version = d.version;
  info.description = d.description;
  info.paper_url = d.paper_url;
  for (auto feature = d.features; feature != nullptr && *feature != nullptr; ++feature)
    info.features.push_back(clean_text(*feature));
  info.dimensions.assign(d.dimension_names, d.dimension_names + d.num_dimensions);
  info.required_inputs = input_names(d.required_inputs);
  info.optional_inputs = input_names(d.optional_inputs);
  if (d.devices & THALWEG_ON_CPU) info.devices.push_back("cpu");
  if (d.devices & THALWEG_ON_CUDA) info.devices.push_back("cuda");
  info.has_gradient = offers_gradient(library, d);
  info.usable = true;
  return info;
}

PluginInfo unusable(const fs::path& path, const std::string& reason) {
  PluginInfo info;
  info.path = path;
  info.plugin = path.stem().string();
  info.reason = reason;
  return info;
}

/// A script says what it is in the first line of its file; its inputs and dimensions are those of what it
/// runs.
PluginInfo script(const fs::path& path) {
  std::string line;
  std::getline(std::ifstream(path), line);
  line.erase(0, line.find_first_not_of('"'));
  PluginInfo info;
  info.path = path;
  info.plugin = path.stem().string();
  info.id = info.plugin;
  info.name = "a script";
  info.vendor = "Thalweg";
  info.description = clean_text(line.c_str());
  info.devices = {"cpu"};
  info.has_gradient = true;
  info.usable = true;
  return info;
}

}  // namespace

std::vector<std::string> input_names(uint64_t inputs) {
  static const std::pair<uint64_t, const char*> kNames[] = {
      {THALWEG_INPUT_FRAMES, "frames"},   {THALWEG_INPUT_LATENTS, "latents"},
      {THALWEG_INPUT_PROMPTS, "prompts"}, {THALWEG_INPUT_REFERENCE, "reference"},
      {THALWEG_INPUT_MASK, "mask"},       {THALWEG_INPUT_METADATA, "metadata"}};
  std::vector<std::string> names;
  for (const auto& [bit, name] : kNames) {
    if (inputs & bit) names.push_back(name);
    inputs &= ~bit;
  }
  if (inputs != 0) names.push_back("unknown");
  return names;
}

std::vector<PluginInfo> scan_plugins(const std::vector<fs::path>& dirs) {
  std::vector<PluginInfo> plugins;
  for (const auto& dir : dirs) {
    for (const auto& path : files_in(dir, kSuffix)) {
      try {
        auto& library = PluginLibrary::open(path);
        std::vector<PluginInfo> of_library;
        for (const auto* descriptor : library.descriptors())
          of_library.push_back(describe(library, *descriptor));
        plugins.insert(plugins.end(), of_library.begin(), of_library.end());
      } catch (const Error& e) {
        plugins.push_back(unusable(path, e.message()));
      }
    }
    for (const auto& path : files_in(dir, kScript)) plugins.push_back(script(path));
  }
  return plugins;
}

PluginFile find_plugin(const std::string& name_or_path, const std::vector<fs::path>& dirs,
                       const std::string& isolation, const std::string& pointer) {
  if (!isolation.empty() && isolation != "inproc" && isolation != "process")
    throw Error(pointer + "/isolation",
                "\"" + isolation + "\" is not known; it is \"inproc\" or \"process\"");
  const bool is_path =
      name_or_path.find('/') != std::string::npos || fs::path(name_or_path).extension() == kSuffix;
  if (!is_path) {
    auto found = installed(name_or_path, dirs, pointer);
    if (found.is_script() && isolation == "inproc")
      throw Error(pointer + "/isolation",
                  "\"" + name_or_path + "\" is a script, which has a process of its own");
    found.own_process = found.is_script() || isolation == "process";
    found.trusted = !found.is_script();
    return found;
  }
  const fs::path path = name_or_path;
  std::error_code absent;
  if (!fs::exists(path, absent)) throw Error(pointer + "/plugin", "there is no file " + name_or_path);
  if (!fs::is_regular_file(path, absent)) throw Error(pointer + "/plugin", name_or_path + " is not a file");
  if (path.extension() == ".py" && !inside(path, dirs))
    throw Error(pointer + "/plugin",
                name_or_path + " is a Python file: {\"plugin\": \"python\", \"config\": {\"file\": \"" +
                    name_or_path + "\"}} runs a function in it");
  return {.path = path,
          .name = path.stem().string(),
          .own_process = isolation == "process" || (isolation.empty() && !inside(path, dirs)),
          .trusted = inside(path, dirs)};
}

std::vector<fs::path> installed_plugin_dirs() {
  std::error_code failure;
  const auto program = fs::read_symlink("/proc/self/exe", failure).parent_path();
  std::vector<fs::path> dirs;
  if (failure) return dirs;
  for (const auto& dir : {program / "plugins", program.parent_path() / "lib" / "thalweg" / "plugins"})
    if (fs::is_directory(dir, failure)) dirs.push_back(dir);
  return dirs;
}

}  // namespace thalweg
