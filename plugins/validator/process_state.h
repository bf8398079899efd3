// What a call must leave as it was in the process: working folder, standard descriptors, locale, environment,
// signals, floating-point mode, the C library's random numbers.
#pragma once

#include <signal.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "rewards/kept_state.h"

namespace thalweg::validator {

class ProcessState {
 public:
  /// As it is now; sets the C library's random state to a known one.
  static ProcessState now();

  /// Clause ids with what is different now; each is put back where it can be.
  std::vector<std::pair<std::string, std::string>> changes() const;

 private:
  std::string folder_;
  LocaleNames locale_;
  std::array<std::array<uint64_t, 3>, 3> standard_{};  // what 0, 1 and 2 lead to
  std::vector<std::string> environment_;
  std::array<struct sigaction, 65> handlers_{};
  sigset_t blocked_{};
  unsigned mask_ = 0;
  int rounding_ = 0;
  unsigned modes_ = 0;
};

/// Entries of /proc/self/fd and /proc/self/task, bytes in use on the heap, and bytes of address space.
struct Resources {
  int64_t descriptors = 0, threads = 0, heap_bytes = 0, mapped_bytes = 0;
  static Resources now();
};

}  // namespace thalweg::validator
