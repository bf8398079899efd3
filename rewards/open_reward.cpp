#include "rewards/open_reward.h"

#include "rewards/plugin.h"
#include "rewards/plugin_reward.h"

namespace thalweg {

std::unique_ptr<Reward> open_reward(const RewardSpec& spec,
                                    const std::vector<std::filesystem::path>& plugin_dirs,
                                    const Activation& activation) {
  const auto file = find_plugin(spec.plugin, plugin_dirs, spec.isolation, spec.pointer);
  return std::make_unique<PluginReward>(file.path, spec.config, activation, spec.pointer, spec.id);
}

RewardInfo inspect_reward(const RewardSpec& spec, const std::vector<std::filesystem::path>& plugin_dirs) {
  const auto file = find_plugin(spec.plugin, plugin_dirs, spec.isolation, spec.pointer);
  return plugin_reward_info(file.path, spec.id, spec.pointer);
}

std::vector<RewardInfo> inspect_rewards(const std::vector<RewardSpec>& specs, RewardUse use,
                                        const std::vector<std::filesystem::path>& plugin_dirs) {
  std::vector<RewardInfo> infos;
  for (const auto i : serving(specs, use)) infos.push_back(inspect_reward(specs[i], plugin_dirs));
  return infos;
}

}  // namespace thalweg
