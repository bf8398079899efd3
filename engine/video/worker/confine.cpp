#include "engine/video/worker/confine.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "engine/core/descriptor.h"
#include "engine/sandbox/capabilities.h"
#include "engine/sandbox/landlock.h"
#include "engine/sandbox/system_calls.h"

#if defined(__SANITIZE_ADDRESS__)
#define THALWEG_SHADOW_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define THALWEG_SHADOW_MEMORY 1
#endif
#endif

namespace thalweg::video {
namespace {

void limit(__rlimit_resource what, rlim_t most) {
  const rlimit both{most, most};
  ::setrlimit(what, &both);  // fewer is always allowed
}

// Bytes of addresses that are taken now: the program, its libraries, its stack.
uint64_t taken_now() {
  const Descriptor file(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
  std::array<char, 64> text{};
  if (::read(file.get(), text.data(), text.size() - 1) <= 0) return uint64_t{1} << 30;
  return std::strtoull(text.data(), nullptr, 10) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

void confine(bool reads) {
  limit(RLIMIT_CORE, 0);
  if (reads) {
    limit(RLIMIT_CPU, kMostCpuSeconds);
#ifndef THALWEG_SHADOW_MEMORY  // a sanitizer maps terabytes
    ::mallopt(M_ARENA_MAX, 1);
    limit(RLIMIT_AS, taken_now() + kMostMemory);
#endif
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return;
  drop_capabilities();
  keep_to({});
  refuse_system_calls({.network = false, .truncation = false});
}

}  // namespace thalweg::video
