// Names of signals, for what is said of a process that died.
#pragma once

#include <cstring>
#include <string>

namespace thalweg {

/// "SIGSEGV".
inline std::string signal_name(int number) {
  const char* name = ::sigabbrev_np(number);
  return name == nullptr ? "signal " + std::to_string(number) : std::string("SIG") + name;
}

}  // namespace thalweg
