// What the process and its calls into libraries share: the working folder, the standard descriptors, the
// umask, the locale, signal handlers, and each thread's floating-point environment. A call that changes one
// of them would spoil what comes after it, numbers included; so it is put back.
#pragma once

#include <cfenv>
#include <string>
#include <vector>

namespace thalweg {

/// From here on calls into libraries leave what the process shares as it is now. The locale of characters
/// alone (LC_CTYPE) is the library's to choose: an embedded interpreter lives by it. Once, at the program's
/// start.
void keep_process_state();

/// The handler that this signal has now is the program's own: calls into libraries leave it, too.
void keep_signal_handler(int number);

/// Around one call into a library.
class KeptState {
 public:
  KeptState();
  /// Puts back what is different now: this thread's floating-point environment, and what the process keeps.
  /// What that was, in words: "the working folder".
  std::vector<std::string> put_back() const;

 private:
  std::fenv_t floating_point_;
  unsigned modes_;
};

}  // namespace thalweg
