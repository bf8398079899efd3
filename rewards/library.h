// A plugin's shared library, mapped until the program ends.
#pragma once

#include <thalweg/reward.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace thalweg {

class PluginLibrary {
 public:
  /// Maps, checks and initialises the library, once per file; later calls give the same object. Loads no
  /// weights. Throws Error naming the path for a file that is no usable plugin. [any thread]
  static PluginLibrary& open(const std::filesystem::path& path);

  PluginLibrary(const PluginLibrary&) = delete;
  PluginLibrary& operator=(const PluginLibrary&) = delete;
  ~PluginLibrary();

  const std::filesystem::path& path() const { return path_; }
  const thalweg_reward_factory& factory() const { return *factory_; }
  /// At least one; checked: no NULL, clean UTF-8, ids not empty and all different.
  const std::vector<const thalweg_reward_descriptor*>& descriptors() const { return descriptors_; }
  /// The reward of that id, the first for "". Throws Error at `place` for one that is not there.
  const thalweg_reward_descriptor& descriptor(const std::string& id, const std::string& place) const;
  /// The interface's [main]: calls that create, activate or destroy instances of this library hold it.
  std::recursive_mutex& main_thread() { return main_thread_; }
  /// Number of living instances; a library that still has some is not told to deinit.
  std::atomic<int>& instances() { return instances_; }
  /// Tells the library that the program ends. Later calls do nothing.
  void deinit() noexcept;

 private:
  struct Mapping;
  /// Maps the file; what runs its code is start(), so that a library that is refused then stays mapped.
  explicit PluginLibrary(const std::filesystem::path& path);
  void start();
  template <class Call>
  auto called(const char* function, Call&& call) const;
  void check_entry() const;
  void read_descriptors();

  std::filesystem::path path_;
  std::unique_ptr<Mapping> mapping_;
  const thalweg_plugin_entry* entry_ = nullptr;
  const thalweg_reward_factory* factory_ = nullptr;
  std::vector<const thalweg_reward_descriptor*> descriptors_;
  std::recursive_mutex main_thread_;
  std::atomic<int> instances_{0};
  bool initialised_ = false;
};

}  // namespace thalweg
