// From an entry of a job to a reward, and to what is known of it before it is made ready.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "rewards/activation.h"
#include "rewards/plugin.h"
#include "rewards/reward.h"
#include "rewards/reward_spec.h"

namespace thalweg {

/// The library or script of the entry. Throws Error at the JSON pointer of what is wrong.
PluginFile locate(const RewardSpec& spec, const std::vector<std::filesystem::path>& plugin_dirs);

/// Whether one of them is computed in a process of its own. Throws as locate() does.
bool scores_elsewhere(const std::vector<RewardSpec>& specs,
                      const std::vector<std::filesystem::path>& plugin_dirs);

/// Finds the reward and makes it ready. `plugin_dirs`: the installation's own folders. Throws Error at the
/// JSON pointer of what is wrong: an unknown plugin (with the nearest name), a refused configuration, a
/// library that must not be loaded.
std::unique_ptr<Reward> open_reward(const RewardSpec& spec,
                                    const std::vector<std::filesystem::path>& plugin_dirs,
                                    const Activation& activation);

/// What the reward says of itself without being made ready: dimensions are those of the default configuration
/// (there may be none), gradient_of is none. Throws Error as open_reward does.
RewardInfo inspect_reward(const RewardSpec& spec, const std::vector<std::filesystem::path>& plugin_dirs);

/// Of those that serve `use`.
std::vector<RewardInfo> inspect_rewards(const std::vector<RewardSpec>& specs, RewardUse use,
                                        const std::vector<std::filesystem::path>& plugin_dirs);

}  // namespace thalweg
