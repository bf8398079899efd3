// What a run writes into its folder, read as it grows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "engine/core/json.h"

namespace thalweg::service {

/// Whole lines of a file that grows, and is cut back when a run goes on from a checkpoint.
class LineFollower {
 public:
  explicit LineFollower(std::filesystem::path path) : path_(std::move(path)) {}

  /// Those that were not there before; from the first again where the file was cut.
  std::vector<std::string> next();

 private:
  std::filesystem::path path_;
  uint64_t at_ = 0, inode_ = 0;
};

/// Rows of metrics.jsonl that are new: those that a run does again after a resume come once.
class MetricsFollower {
 public:
  /// Of each kind of row ("train", "eval") the last step that was told.
  using Seen = std::map<std::string, int64_t>;

  MetricsFollower(const std::filesystem::path& run_folder, Seen seen)
      : lines_(run_folder / "metrics.jsonl"), seen_(std::move(seen)) {}

  std::vector<Json> next();

 private:
  LineFollower lines_;
  Seen seen_;
};

}  // namespace thalweg::service
