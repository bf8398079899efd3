// What this program may do, given up before the first byte of a file is looked at.
#pragma once

#include <cstdint>

namespace thalweg::video {

inline constexpr uint64_t kMostMemory = uint64_t{384} << 20;  // a reader's, beside its libraries
inline constexpr uint64_t kMostCpuSeconds = 120;              // a reader's

/// No file can be opened any more, no socket made, no other process reached, where this kernel has Landlock
/// and seccomp; root's further rights go. `reads`: and memory and processor time are limited, for it reads
/// what strangers wrote. Call it before there is a second thread.
void confine(bool reads);

}  // namespace thalweg::video
