// What a run leaves behind while it goes: metrics.jsonl, events.jsonl, TensorBoard events, pictures.
#pragma once

#include <filesystem>

#include "engine/io/metrics.h"
#include "engine/io/tensorboard.h"
#include "pipelines/align/context.h"

namespace thalweg {

class RunRecord {
 public:
  /// Opens `folder`; rows and events after `resumed_step` are dropped.
  RunRecord(const std::filesystem::path& folder, int64_t resumed_step);

  /// One row: {"step", "kind": "train" or "eval", metrics..., "time_s"}.
  void append(int64_t step, const std::string& kind, const Metrics& metrics);

  /// Rows of events.jsonl: {"step", "level", "type", "message", "data", "time_s"}.
  void append(int64_t step, const std::vector<Event>& events);

  /// Writes samples/NAME/NNNNN.png and samples/NAME/grid.png (first frames), and the grid as an event.
  void pictures(int64_t step, const std::string& name, const at::Tensor& frames_BF3HW);

  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
  MetricsLog metrics_, events_;
  EventWriter tensorboard_;
  double started_;
};

}  // namespace thalweg
