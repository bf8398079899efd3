// What the process and its calls into libraries share: the working folder, the standard descriptors, the
// umask, the locale, signal handlers, and each thread's floating-point environment. A call that changes one
// of them would spoil what comes after it, numbers included; so it is put back.
#pragma once

#include <array>
#include <cfenv>
#include <clocale>
#include <string>
#include <vector>

namespace thalweg {

/// Of the locale what a call must leave: that of characters alone (LC_CTYPE) is the library's to choose,
/// since an embedded interpreter lives by it.
inline constexpr std::array kKeptCategories = {LC_NUMERIC, LC_COLLATE, LC_TIME, LC_MONETARY, LC_MESSAGES};
using LocaleNames = std::array<std::string, kKeptCategories.size()>;
LocaleNames locale_names();

unsigned creation_mask();

/// Of this thread: rounding, flush to zero, denormals are zero, and the exceptions that trap; not the flags
/// that arithmetic raises.
unsigned floating_point_modes();

/// From here on calls into libraries leave what the process shares as it is now. Once, at the program's
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
