// The plugin under test as the child process sees it.
#pragma once

#include <thalweg/reward.h>

#include <filesystem>
#include <functional>
#include <string>

#include "plugins/validator/host.h"
#include "plugins/validator/samples.h"
#include "plugins/validator/validator.h"

namespace thalweg::validator {

class Subject {
 public:
  Subject(std::filesystem::path file, const Options& options);

  const std::filesystem::path file;
  const Options& options;
  Observations observations;
  std::string reward_id;
  /// Told what the clause is about to try, for the case that it does not come back.
  std::function<void(const std::string&)> trying = [](const std::string&) {};

  /// Each loads what is before it; throws Breach.
  void* handle();
  const thalweg_plugin_entry& entry();
  const thalweg_reward_factory& factory();
  const thalweg_reward_descriptor& descriptor();
  /// Runs entry.init once.
  void start();
  bool started() const { return started_; }

  /// Runs a call of the plugin; an exception that comes out is a Breach, and observed.
  template <class Call>
  auto guarded(const char* name, Call&& call);

  /// OK, or what is wrong with a returned status and its text; "" when OK.
  std::string judged(const char* name, thalweg_status status, const Host& host);

  bool has_feature(const char* feature);
  /// Of the options; of a reward that says "video" several frames at least.
  Shape shape();
  /// Inputs that are declared, required or optional.
  uint64_t inputs();

 private:
  void* handle_ = nullptr;
  const thalweg_plugin_entry* entry_ = nullptr;
  const thalweg_reward_factory* factory_ = nullptr;
  bool started_ = false;
};

template <class Call>
auto Subject::guarded(const char* name, Call&& call) {
  try {
    return call();
  } catch (const std::exception& e) {
    observations.add("manners.no-exceptions", std::string(name) + " let out: " + e.what());
  } catch (...) {
    observations.add("manners.no-exceptions", std::string(name) + " let something out");
  }
  throw Breach(std::string(name) + " let an exception out");
}

}  // namespace thalweg::validator
