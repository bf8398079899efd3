// metrics.jsonl: one JSON object a line, written as the run goes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "engine/core/json.h"
#include "engine/io/file.h"

namespace thalweg {

/// Appends rows. Each row reaches the system in one write, so a killed run tears at most the last line;
/// such a line is cut off when the log is opened again.
class MetricsLog {
 public:
  /// Creates the file, or continues it. Throws Error naming the path.
  explicit MetricsLog(const std::filesystem::path& path);

  /// `row` must be an object. NaN and infinities become null: JSON has no word for them.
  void append(const Json& row);

  /// Drops the rows whose integer "step" is above `step`, for a resume from a checkpoint of that step;
  /// rows without a step stay. The file is replaced in one rename.
  void truncate_after(int64_t step);

  /// All rows of a file, in order. A torn last line is left out; any other bad line is an Error that
  /// names its number. No file is no rows.
  static std::vector<Json> read_all(const std::filesystem::path& path);

 private:
  AppendFile file_;
};

}  // namespace thalweg
