// Time as differences: seconds of the wall and of the processor.
#pragma once

#include <ctime>

namespace thalweg {

/// Seconds of one of the system's clocks; only differences mean anything.
inline double clock_seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Of a clock that nobody sets.
inline double wall_seconds() {
  return clock_seconds(CLOCK_MONOTONIC);
}

/// CPU seconds of this process, all threads together.
inline double process_seconds() {
  return clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

/// CPU seconds of the calling thread.
inline double thread_seconds() {
  return clock_seconds(CLOCK_THREAD_CPUTIME_ID);
}

}  // namespace thalweg
