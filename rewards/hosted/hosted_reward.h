// A reward that a process of its own computes: what crashes, hangs or leaks there costs its samples, not the
// run.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/scratch_folder.h"
#include "rewards/activation.h"
#include "rewards/hosted/child.h"
#include "rewards/hosted/encode.h"
#include "rewards/hosted/host_limits.h"
#include "rewards/reward.h"

namespace thalweg {

/// What is run, and the reward that it is told to open.
struct HostedTask {
  std::vector<std::string> command;
  std::string name;                                     // in what is said of it
  Json open;                                            // {"plugin", "id", "config", "place"}
  std::shared_ptr<const ScratchFolder> temporary = {};  // the process' own, as long as the reward
};

/// Calls of one reward wait for each other, those of different ones do not. A process that ended is begun
/// again at the next call; once it has no restarts left, nothing is scored any more.
class HostedReward final : public Reward {
 public:
  /// Starts it. Throws Error as PluginReward does, and where the process ends or takes too long.
  HostedReward(HostedTask task, const HostLimits& limits, const Activation& activation,
               const std::string& place);

  const RewardInfo& info() const override { return info_; }
  Scored score(const ScoreInput& input) override;
  ScoreGradient gradient(const ScoreInput& input, const at::Tensor& cotangent_BK) override;

 private:
  RewardInfo start();
  std::string begin_again();
  /// One question; its answer is read by `read`. Returns what went wrong, or "".
  std::string call(const char* function, const Json& message, const std::function<void(const Json&)>& read);
  Json answer_of(const char* function);
  std::vector<CallFailure> failures_of(const Json& reply, int64_t batch) const;
  void end(const std::string& what);
  void write(const NamedTensors& tensors, const Json& places);

  const HostedTask task_;
  const HostLimits limits_;
  const Activation activation_;
  const std::string place_;
  SharedMemory memory_;
  std::unique_ptr<ChildProcess> child_;
  std::string ended_;  // how its last process did
  int64_t restarts_ = 0;
  RewardInfo info_;
  std::mutex mutex_;
};

/// What the reward says of itself, asked of a process that ends with this call. Throws Error.
RewardInfo hosted_reward_info(const HostedTask& task, const HostLimits& limits, const std::string& place);

}  // namespace thalweg
