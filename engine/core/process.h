// Another program: started with descriptors of ours, watched, and ended.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace thalweg {

/// The program of that name beside this one, or in the folder above (the tests of a build tree).
std::optional<std::filesystem::path> program_beside(const std::string& name);

/// One of our descriptors, and the number that the program finds it at.
struct GivenDescriptor {
  int ours, theirs;
};

class Process {
 public:
  /// Runs `command`, whose first is a file or a name on PATH. It has our standard error, as its standard
  /// output too unless `given` says otherwise, no standard input, and nothing else open but what it is given
  /// (numbers below 16). It is a group of its own, so that Ctrl-C stays our affair. Throws IoError.
  Process(const std::vector<std::string>& command, const std::vector<GivenDescriptor>& given);
  /// Ends it.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t id() const { return id_; }
  /// Within so many seconds.
  bool has_ended(double seconds);
  /// Ends it, where it does not end by itself within half a second: one whose line was closed is dying, and
  /// its own reason is what is told. Returns how it ended: "died of SIGSEGV".
  std::string end();

 private:
  pid_t id_ = -1;
  std::optional<int> status_;
};

}  // namespace thalweg
