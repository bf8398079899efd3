// The scheduler that the folder of a model names. It is read at once and judged when it is asked for
// noise levels: a job that names its own needs none.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "engine/core/values.h"
#include "engine/models/schedulers/flow_match_euler.h"
#include "engine/weights/folder.h"

namespace thalweg {

class FolderScheduler {
 public:
  /// `generator`: the config of a few-step generator, whose noise levels take the place of the folder's own;
  /// empty: none. `grid`: what the folder's pipeline asks for. Throws Error for a scheduler_config.json that
  /// is malformed.
  explicit FolderScheduler(const ModelFolder& folder, const std::filesystem::path& generator = {},
                           FlowGrid grid = FlowGrid::training);

  /// Noise levels for pictures of so many patches. Throws Error naming the folder's file, and the job's key
  /// that takes its place, for another class than FlowMatchEulerDiscreteScheduler and UniPCMultistepScheduler
  /// and for what of them is not had here.
  Schedule schedule(int64_t steps, int64_t tokens) const;
  /// The network's time is sigma times this.
  int64_t num_train_timesteps() const { return num_train_timesteps_; }

  bool has_file() const { return !config_.is_null(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path index_, path_, generator_path_;
  FlowGrid grid_;
  std::optional<FlowMatchEuler> generator_;
  std::string class_name_;  // as model_index.json has it, or else the file; empty: none
  Json config_;
  int64_t num_train_timesteps_ = 1000;
};

}  // namespace thalweg
