// Words for how a process or a call ended.
#pragma once

#include <cmath>
#include <cstring>
#include <string>

namespace thalweg {

/// "SIGSEGV".
inline std::string signal_name(int number) {
  const char* name = ::sigabbrev_np(number);
  return name == nullptr ? "signal " + std::to_string(number) : std::string("SIG") + name;
}

/// "30 s".
inline std::string in_seconds(double seconds) {
  return std::to_string(std::llround(seconds)) + " s";
}

}  // namespace thalweg
