#include "rewards/stray_output.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>

namespace thalweg {
namespace {

constexpr off_t kMostBytes = 64 << 10;
constexpr int kFirstPrivate = 3;  // after the three that every program has

// A file in memory: a pipe would need a reader, and block a plugin that prints much.
std::atomic<int> aside{-1};

/// Recursive: a backward pass inside of a plugin's may run another reward's on the same thread.
std::recursive_mutex& watched_calls() {
  static std::recursive_mutex mutex;
  return mutex;
}

}  // namespace

int keep_standard_output() {
  const int memory = ::memfd_create("standard output", MFD_CLOEXEC);
  const int real = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, kFirstPrivate);
  if (memory < 0 || real < 0 || ::fcntl(memory, F_SETFL, O_APPEND) != 0 ||
      ::dup2(memory, STDOUT_FILENO) < 0) {
    if (memory >= 0) ::close(memory);
    if (real >= 0) ::close(real);
    return STDOUT_FILENO;
  }
  aside = memory;
  return real;
}

std::string take_stray_output() {
  static std::mutex mutex;
  const int memory = aside;
  if (memory < 0) return "";
  std::fflush(stdout);
  const std::lock_guard lock(mutex);
  struct stat file {};
  if (::fstat(memory, &file) != 0 || file.st_size == 0) return "";
  std::string text(static_cast<size_t>(std::min<off_t>(file.st_size, kMostBytes)), '\0');
  const ssize_t got = ::pread(memory, text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  if (::ftruncate(memory, 0) != 0) return "";
  std::fwrite(text.data(), 1, text.size(), stderr);
  return text;
}

StrayOutputWatch::StrayOutputWatch() {
  if (aside < 0) return;
  lock_ = std::unique_lock(watched_calls());
  take_stray_output();  // not of this call
}

bool StrayOutputWatch::printed() {
  return !take_stray_output().empty();
}

}  // namespace thalweg
