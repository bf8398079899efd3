// thalweg-video as the engine sees it: started, talked to, and never waited for without an end.
#pragma once

#include <optional>
#include <string>

#include "engine/core/descriptor.h"
#include "engine/core/process.h"
#include "engine/video/messages.h"

namespace thalweg::video {

class WorkerProcess {
 public:
  /// `mode` is "encode" or "decode", `media` the descriptor of the file, `seconds` the silence that ends it.
  /// `file` stands in errors. Throws Error(file, ...) where the program is not beside this one.
  WorkerProcess(const std::string& mode, int media, double seconds, std::string file);

  /// All throw Error(file, ...): what it refuses, that it died and of what, that it took too long.
  void send(std::string_view tag, std::string_view payload);
  Message receive();

 private:
  [[noreturn]] void fail(const std::string& broken);

  const std::string file_;
  Descriptor socket_;
  std::optional<Line> line_;
  std::optional<Process> process_;
};

}  // namespace thalweg::video
