// Which system calls this process may make, by a seccomp filter.
#pragma once

#include <string>

namespace thalweg {

/// What a filter leaves.
struct SystemCalls {
  bool network = false;    // sockets of the internet; of this machine's own, connected pairs alone are left
  bool truncation = true;  // of a file by its path
};

/// From here on this thread, and what it starts, is refused what neither a reward nor a reader of files has a
/// use for. Returns why it is not so, or "".
std::string refuse_system_calls(const SystemCalls& left);

}  // namespace thalweg
