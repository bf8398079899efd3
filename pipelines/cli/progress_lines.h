// The same as Progress shows, for programs: a JSON object a line.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "pipelines/observer.h"
#include "pipelines/run/run_job.h"

namespace thalweg::cli {

/// Writes to `descriptor`: {"type": "started", "output"}, {"type": "progress", "phase", "done", "total",
/// "values"} (of one phase at most five times a second, its last piece always), {"type": "message", "text"},
/// and at the end
/// {"type": "end", "kind": succeeded | stopped | wrong_job | failed, "place", "message"}.
class ProgressLines {
 public:
  explicit ProgressLines(int descriptor) : descriptor_(descriptor) {}

  void started(const std::string& output) const;
  void update(const std::string& phase, int64_t done, int64_t total, const Observer::Values& values);
  void message(const std::string& line) const;
  void end(const JobEnd& end) const;

 private:
  void write(const Json& json) const;

  int descriptor_;
  std::string phase_;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace thalweg::cli
