// A process that scores: started, asked, and ended.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/core/process.h"
#include "rewards/hosted/wire.h"

namespace thalweg {

class ChildProcess {
 public:
  /// The descriptors that the program finds its socket and the shared memory at.
  static constexpr int kSocket = 3, kMemory = 4;

  /// Runs `command`, whose first is a file or a name on PATH; its standard output is our standard error.
  /// `memory_bytes`: of data that it may have; 0: as much as it likes. Throws IoError.
  ChildProcess(const std::vector<std::string>& command, const SharedMemory& memory, double memory_bytes);
  /// Asks it to end, and does not wait for long.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  Wire& wire() { return *wire_; }
  /// Ends it, and says how it ended: "died of SIGSEGV".
  std::string end() { return process_->end(); }

 private:
  std::optional<Wire> wire_;
  std::optional<Process> process_;
};

}  // namespace thalweg
