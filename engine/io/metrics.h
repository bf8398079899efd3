// metrics.jsonl: one JSON object a line, written as the run goes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "engine/core/file.h"
#include "engine/core/json.h"

namespace thalweg {

inline constexpr size_t kMaxMetricsBytes = size_t{4} << 30;

/// Appends rows. Each row reaches the system in one write, so a killed run tears at most the last line;
/// such a line is cut off when the log is opened again.
class MetricsLog {
 public:
  /// Creates the file, or continues it. Throws Error naming the path.
  explicit MetricsLog(const std::filesystem::path& path);

  /// `row` must be an object. NaN and infinities become null: JSON has no word for them.
  void append(const Json& row);

  /// Waits until all rows are on the disk.
  void sync() { file_.sync(); }

  /// All rows of a file, in order. A torn last line is left out; any other bad line is an Error that
  /// names its number. No file is no rows.
  static std::vector<Json> read_all(const std::filesystem::path& path);

 private:
  AppendFile file_;
};

}  // namespace thalweg
