// The life of one plugin instance: created, initialised, activated; undone in reverse.
#pragma once

#include <thalweg/ext/gradient.h>

#include <string>
#include <vector>

#include "rewards/library.h"
#include "rewards/plugin_host.h"
#include "rewards/reward_model.h"

namespace thalweg {

struct RewardModel::Instance {
  /// Throws Error as RewardModel's constructor says.
  Instance(PluginLibrary& library, const thalweg_reward_descriptor& descriptor, const Json& config,
           const Activation& activation, const std::string& place);
  ~Instance();

  /// Runs a call of the plugin: its status, or INTERNAL when it let an exception out. Sets `error`.
  template <class Call>
  bool succeeds(Call&& call);

  PluginLibrary& library;
  const thalweg_reward_descriptor& descriptor;
  std::string place;
  Activation activation;
  at::Device inputs_on = at::kCPU;  // where the tensors of its requests lie
  PluginHost host;
  const thalweg_reward* reward = nullptr;
  const thalweg_plugin_gradient* gradient = nullptr;
  bool active = false;
  std::vector<std::string> dimensions;

  mutable std::mutex mutex;  // the interface's [scoring]
  std::string error;

 private:
  void create();
  void activate(const Json& config);
  void read_dimensions();
  void tear_down() noexcept;
  thalweg_status guarded(thalweg_status (*call)(void*), void* data) noexcept;
};

template <class Call>
bool RewardModel::Instance::succeeds(Call&& call) {
  host.clear_error();
  const auto status =
      guarded([](void* data) { return (*static_cast<std::remove_reference_t<Call>*>(data))(); },
              const_cast<void*>(static_cast<const void*>(&call)));
  if (status == THALWEG_OK) return true;
  const auto text = host.last_error();
  error = status_name(status) + (text.empty() ? "" : ": " + text);
  return false;
}

}  // namespace thalweg
