// The process that watches: it hands signals on, and says how the worker ended.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "engine/core/json.h"
#include "pipelines/cli/watch_page.h"

namespace thalweg::cli {

class Watcher {
 public:
  /// The signals that it waits for: to be blocked before the worker is forked.
  static sigset_t signals();
  /// `grace_s`: seconds that a call into a plugin may take after the first signal to stop.
  Watcher(WatchPage& page, pid_t worker, double grace_s);

  /// Waits; the exit code of the program.
  int until_end();

 private:
  int watch();
  void note(int number);
  void ask_to_stop(int number);
  void suspend();
  void look_at_calls();
  bool has_ended();
  int conclude();
  int without_a_word();
  std::string cause() const;
  std::string written_status() const;
  std::filesystem::path result_file() const;
  bool has_result() const;
  void write(const Json& result);

  WatchPage& page_;
  pid_t worker_;
  double grace_s_;
  bool ignores_hang_up_ = false;
  std::optional<std::chrono::steady_clock::time_point> asked_;
  bool said_ = false;      // what is waited for
  int killed_by_ = 0;      // the signal for which the worker was killed
  bool given_up_ = false;  // killed, for a call that did not return
  int status_ = 0;
};

}  // namespace thalweg::cli
