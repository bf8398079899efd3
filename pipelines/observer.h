// What a pipeline tells whoever runs it, and what it may be told in return. Pipelines never print.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace thalweg {

struct Observer {
  using Values = std::vector<std::pair<std::string, double>>;

  /// `done` of `total` units of the phase are finished; `values` are shown beside the bar.
  std::function<void(const std::string& phase, int64_t done, int64_t total, const Values& values)> progress =
      [](const std::string&, int64_t, int64_t, const Values&) {};
  /// The job is checked and `output`, an absolute path where the job came as JSON, is this run's: from now on
  /// its result.json says how it ended.
  std::function<void(const std::string& output)> started = [](const std::string&) {};
  /// A line worth keeping.
  std::function<void(const std::string& line)> message = [](const std::string&) {};
  /// True once the user asked to stop; the pipeline then keeps what is done and throws Stopped.
  std::function<bool()> stop_requested = [] { return false; };
};

/// The run stopped; running the same job again goes on from there where it can (Job::resumes()).
struct Stopped {
  std::string why = {};  // empty: on request
  bool failed = false;   // it is a failure of the run
};

}  // namespace thalweg
