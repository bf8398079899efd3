/* For LD_PRELOAD: memory that runs out. THALWEG_MEMORY_FAULTS="BYTES:NTH:COUNT" lets the NTH (from 1) request
   of BYTES or more, and the COUNT - 1 after it, fail, and tells stderr once. A library of its own: it takes
   malloc's place. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static size_t least = (size_t)-1;
static long nth, count;
static atomic_long seen;

__attribute__((constructor)) static void arm(void) {
  const char* text = getenv("THALWEG_MEMORY_FAULTS");
  size_t bytes = 0;
  if (text == NULL) return;
  if (sscanf(text, "%zu:%ld:%ld", &bytes, &nth, &count) != 3) abort();
  least = bytes;
}

static int hit(size_t bytes) {
  static const char kTold[] = "[fault] memory\n";
  if (bytes < least) return 0;
  const long now = ++seen;
  if (now < nth || now - nth >= count) return 0;
  if (now == nth) syscall(SYS_write, STDERR_FILENO, kTold, sizeof kTold - 1);
  errno = ENOMEM;
  return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void* malloc(size_t bytes) {
  static void* (*real)(size_t);
  if (real == NULL) real = REAL(malloc);
  return hit(bytes) ? NULL : real(bytes);
}

int posix_memalign(void** memory, size_t alignment, size_t bytes) {
  static int (*real)(void**, size_t, size_t);
  if (real == NULL) real = REAL(posix_memalign);
  return hit(bytes) ? ENOMEM : real(memory, alignment, bytes);
}
