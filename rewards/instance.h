// The life of one plugin instance: created, initialised, activated; undone in reverse.
#pragma once

#include <thalweg/ext/gradient.h>
#include <thalweg/ext/group.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/core/json.h"
#include "rewards/activation.h"
#include "rewards/library.h"
#include "rewards/plugin_host.h"

namespace thalweg {

/// Every call goes through the guard (guard.h). One call at a time: whoever owns it sees to that.
class PluginInstance {
 public:
  /// Creates and initialises, which loads nothing. Throws Error at `place`.
  PluginInstance(PluginLibrary& library, const thalweg_reward_descriptor& descriptor,
                 const std::string& place, const RewardLog& log);
  ~PluginInstance();
  PluginInstance(const PluginInstance&) = delete;
  PluginInstance& operator=(const PluginInstance&) = delete;

  /// Once. `inputs_on`: where the tensors of its requests will lie. Throws Error at place + "/config" when
  /// the plugin refuses the configuration (or deeper, when its text starts with a JSON pointer), else at
  /// `place`.
  void activate(const Json& config, const Activation& activation, at::Device inputs_on);

  /// Of the active instance; throws Error when they are none, empty or not all different.
  std::vector<std::string> read_dimensions();
  /// Null without one. Throws Error for one with missing functions.
  const thalweg_plugin_gradient* gradient();
  /// Null: it compares no samples. Throws Error for a table with a missing function.
  const thalweg_plugin_group* group();
  /// Fewest samples of a group that the active instance compares. Throws Error for less than 2.
  int64_t least_of_group(const thalweg_plugin_group& group);
  /// The inputs that the gradient can be of, THALWEG_INPUT_*.
  uint64_t gradient_inputs(const thalweg_plugin_gradient& gradient);

  /// "" when the call returned OK, else its status and text. `function` is its name, "score".
  std::string failure_of(const char* function, const std::function<thalweg_status()>& call);
  /// Why samples of the last call of failure_of are not scored, by their place in it, where the plugin says
  /// so.
  std::map<uint32_t, std::string> notes() const { return host_.notes(); }
  /// What calls of failure_of changed in the process since the last time; it is as it was.
  std::set<std::string> take_changes();

  const thalweg_reward* table() const { return reward_; }
  const thalweg_reward_descriptor& descriptor() const { return descriptor_; }
  const std::string& place() const { return place_; }
  const std::string& plugin() const { return plugin_; }

 private:
  void create();
  void tear_down() noexcept;
  template <class Call>
  auto called(const char* function, Call&& call);

  PluginLibrary& library_;
  const thalweg_reward_descriptor& descriptor_;
  std::string place_, plugin_;
  PluginHost host_;
  const thalweg_reward* reward_ = nullptr;
  bool active_ = false;
  std::set<std::string> changed_;
};

}  // namespace thalweg
