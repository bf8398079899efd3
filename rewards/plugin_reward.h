// A reward that a library in this process computes.
#pragma once

#include <thalweg/ext/gradient.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "engine/core/json.h"
#include "rewards/activation.h"
#include "rewards/reward.h"

namespace thalweg {

class PluginInstance;
class PluginLibrary;
class StrayOutputWatch;

/// Calls of one instance wait for each other. The instance is torn down with the object, its library stays
/// mapped until the program ends.
class PluginReward final : public Reward {
 public:
  /// Loads the library (see find_plugin) and activates its reward `id` ("": the first) with `config`, an
  /// object. Throws Error at place + "/config" when the plugin refuses the configuration (or deeper, when
  /// its text starts with a JSON pointer), and at `place` otherwise; an empty place is the library's path.
  PluginReward(const std::filesystem::path& path, const Json& config, const Activation& activation,
               const std::string& place = "", const std::string& id = "");
  ~PluginReward() override;
  PluginReward(const PluginReward&) = delete;
  PluginReward& operator=(const PluginReward&) = delete;

  const RewardInfo& info() const override { return info_; }
  Scored score(const ScoreInput& input) override;
  ScoreGradient gradient(const ScoreInput& input, const at::Tensor& cotangent_BK) override;

 private:
  at::Tensor score_part(const ScoreInput& part, std::vector<CallFailure>& failures);
  ScoreGradient gradient_part(const ScoreInput& part, const at::Tensor& cotangent_BK);
  void check_sizes(const ScoreInput& input) const;
  /// What the calls did beside scoring: no sample is lost by it.
  void note_manners(StrayOutputWatch& watch, std::vector<CallFailure>& failures) const;
  /// f(begin, end) of the parts, none above the largest batch, one after the other.
  template <class Part>
  void for_parts(int64_t batch, Part&& part) const;

  Activation activation_;
  std::unique_ptr<PluginInstance> instance_;
  const thalweg_plugin_gradient* gradient_ = nullptr;
  RewardInfo info_;
  std::mutex mutex_;  // the interface's [scoring]
};

/// What the library says of its reward `id` ("": the first), by its descriptor alone: the dimensions are
/// those of the default configuration (there may be none), gradient_of is none. Throws Error at `place`.
RewardInfo plugin_reward_info(const std::filesystem::path& path, const std::string& id,
                              const std::string& place);

}  // namespace thalweg
