#include "pipelines/cli/allocator.h"

#include <malloc.h>

#include <cstddef>
#include <cstdint>

#include "engine/core/jemalloc.h"

// jemalloc reads its settings from a symbol of this name. Without the first one blocks above 8 MB would be
// given back at once.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "oversize_threshold:0,dirty_decay_ms:60000,muzzy_decay_ms:60000";
}

namespace thalweg::cli {

void keep_freed_memory() {
  // The first pool, of the main thread, is made before jemalloc reads its settings and keeps its own limit.
  size_t unlimited = SIZE_MAX;
  if (mallctl) mallctl("arena.0.oversize_threshold", nullptr, nullptr, &unlimited, sizeof unlimited);
  // The same for the C library's allocator; without effect where jemalloc has taken its place.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 2147483647);
  mallopt(M_TOP_PAD, 256 << 20);
  mallopt(M_ARENA_MAX, 1);
}

}  // namespace thalweg::cli
