// Finding reward plugins, and saying what they are, without loading any weights.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace thalweg {

/// One reward of one library, or a library that cannot be used.
struct PluginInfo {
  std::filesystem::path path;
  std::string id;      // of the reward; "" when unusable
  std::string plugin;  // the name that a job writes: the file's name without .so
  std::string name, vendor, version, description, paper_url;
  std::vector<std::string> features;
  std::vector<std::string> dimensions;                        // of the default configuration; may be empty
  std::vector<std::string> required_inputs, optional_inputs;  // "frames", "latents", "prompts", ...
  std::vector<std::string> devices;                           // "cpu", "cuda"
  bool has_gradient = false;
  bool usable = false;
  std::string reason;  // why it is not usable
};

/// Every reward of every *.so in the folders, in order of folder, file and index, then scripts. A folder that
/// is absent holds none. Never throws for a bad plugin: it is listed with its reason.
std::vector<PluginInfo> scan_plugins(const std::vector<std::filesystem::path>& dirs);

struct PluginFile {
  std::filesystem::path path;
  std::string name;          // for the names of its dimensions: "scene" of ".../scene.so"
  bool own_process = false;  // runs in a process of its own
  bool trusted = false;      // a library of the installation

  /// Python, not a library.
  bool is_script() const { return path.extension() == ".py"; }
};

/// The library that a job names. A bare name is NAME.so, or NAME.py, in the first of `dirs` (the
/// installation's own folders) that has it; a name with a '/' or ending in ".so" is a path. `isolation` is
/// the job's value, "" when absent: then a library outside `dirs` and a script get a process of their own.
/// Throws Error at pointer + "/plugin" or pointer + "/isolation".
PluginFile find_plugin(const std::string& name_or_path, const std::vector<std::filesystem::path>& dirs,
                       const std::string& isolation, const std::string& pointer);

/// The installation's own folders that exist: `plugins` beside the program (a build tree) and
/// ../lib/thalweg/plugins (an installation).
std::vector<std::filesystem::path> installed_plugin_dirs();

/// Names of the bits of THALWEG_INPUT_*.
std::vector<std::string> input_names(uint64_t inputs);

}  // namespace thalweg
