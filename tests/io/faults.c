#define _GNU_SOURCE
#include "tests/io/faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { kPathBytes = 4096 };

static struct {
  pthread_mutex_t mutex;
  volatile int armed;
  int told; /* on stderr */
  char calls[128], path[kPathBytes], first[kPathBytes + 64];
  long nth, count, seen, failed;
  int code;
} state = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void faults_arm(const char* calls, long nth, long count, int code, const char* path) {
  pthread_mutex_lock(&state.mutex);
  snprintf(state.calls, sizeof state.calls, ",%s,", calls);
  snprintf(state.path, sizeof state.path, "%s", path);
  state.nth = nth;
  state.count = count;
  state.code = code;
  state.seen = state.failed = 0;
  state.first[0] = '\0';
  state.armed = 1;
  pthread_mutex_unlock(&state.mutex);
}

long faults_disarm(void) {
  state.armed = 0;
  return state.failed;
}

const char* faults_first(void) {
  return state.first;
}

__attribute__((constructor)) static void arm_from_environment(void) {
  const char* text = getenv("THALWEG_FAULTS");
  char calls[128], path[kPathBytes];
  long nth = 0, count = 0;
  int code = 0;
  if (text == NULL) return;
  if (sscanf(text, "%127[^:]:%ld:%ld:%d:%4095[^\n]", calls, &nth, &count, &code, path) != 5) abort();
  faults_arm(calls, nth, count, code, path);
  state.told = 1;
}

/* Whether this call is to fail. */
static int hit(const char* call, const char* path) {
  char wanted[32];
  int chosen = 0;
  if (!state.armed || path == NULL) return 0;
  snprintf(wanted, sizeof wanted, ",%s,", call);
  pthread_mutex_lock(&state.mutex);
  if (strstr(state.calls, wanted) != NULL && strstr(path, state.path) != NULL) {
    ++state.seen;
    chosen = state.seen >= state.nth && state.seen - state.nth < state.count;
    if (chosen && state.failed++ == 0) {
      const int length = snprintf(state.first, sizeof state.first, "[fault] %s %s\n", call, path);
      if (state.told) syscall(SYS_write, STDERR_FILENO, state.first, (size_t)length);
    }
  }
  pthread_mutex_unlock(&state.mutex);
  if (chosen) errno = state.code;
  return chosen;
}

static int hit_descriptor(const char* call, int descriptor) {
  char link[64], path[kPathBytes];
  if (!state.armed) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const int kept = errno;
  const long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  errno = kept;
  if (length <= 0) return 0;
  path[length] = '\0';
  return hit(call, path);
}

/* Relative to a folder that is open: its path with the name behind it. */
static const char* path_at(int folder, const char* path, char* whole) {
  char link[64];
  if (folder == AT_FDCWD || path == NULL || path[0] == '/') return path;
  snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
  const int kept = errno;
  const long length = syscall(SYS_readlinkat, AT_FDCWD, link, whole, kPathBytes - 258);
  errno = kept;
  if (length <= 0) return path;
  snprintf(whole + length, 258, "/%.255s", path);
  return whole;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define DEFINE_OPEN(name)                                          \
  int name(const char* path, int flags, ...) {                     \
    va_list arguments;                                             \
    va_start(arguments, flags);                                    \
    const mode_t mode = va_arg(arguments, mode_t);                 \
    va_end(arguments);                                             \
    return hit("open", path) ? -1 : REAL(name)(path, flags, mode); \
  }
#define DEFINE_OPENAT(name)                                                  \
  int name(int folder, const char* path, int flags, ...) {                   \
    char whole[kPathBytes];                                                  \
    va_list arguments;                                                       \
    va_start(arguments, flags);                                              \
    const mode_t mode = va_arg(arguments, mode_t);                           \
    va_end(arguments);                                                       \
    if (state.armed && hit("open", path_at(folder, path, whole))) return -1; \
    return REAL(name)(folder, path, flags, mode);                            \
  }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

ssize_t write(int descriptor, const void* bytes, size_t size) {
  if (hit_descriptor("write", descriptor)) {
    if (state.code != 0 || size < 2) return state.code != 0 ? -1 : REAL(write)(descriptor, bytes, size);
    return REAL(write)(descriptor, bytes, size / 2);
  }
  return REAL(write)(descriptor, bytes, size);
}

int fsync(int descriptor) {
  return hit_descriptor("fsync", descriptor) ? -1 : REAL(fsync)(descriptor);
}

/* Closed all the same, as Linux does. */
int close(int descriptor) {
  const int failing = hit_descriptor("close", descriptor);
  const int code = errno, result = REAL(close)(descriptor);
  if (!failing) return result;
  errno = code;
  return -1;
}

int rename(const char* from, const char* to) {
  return hit("rename", to) ? -1 : REAL(rename)(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  return hit("rename", to) ? -1 : REAL(renameat2)(from_folder, from, to_folder, to, flags);
}

int mkdir(const char* path, mode_t mode) {
  return hit("mkdir", path) ? -1 : REAL(mkdir)(path, mode);
}

int unlink(const char* path) {
  return hit("unlink", path) ? -1 : REAL(unlink)(path);
}

int unlinkat(int folder, const char* path, int flags) {
  char whole[kPathBytes];
  return state.armed && hit("unlink", path_at(folder, path, whole)) ? -1
                                                                    : REAL(unlinkat)(folder, path, flags);
}
