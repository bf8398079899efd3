// What a process that watches shares with the one that works.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <filesystem>

namespace thalweg::cli {

/// Tells one file of a name from the next.
struct FileMark {
  uint64_t inode = 0;
  int64_t seconds = 0, nanoseconds = 0;

  static FileMark of(const std::filesystem::path& path) {
    struct stat file {};
    if (::stat(path.c_str(), &file) != 0) return {};
    return {file.st_ino, file.st_mtim.tv_sec, file.st_mtim.tv_nsec};
  }
  bool operator==(const FileMark&) const = default;
};

/// What the two processes share.
struct WatchPage {
  std::atomic<int> asked{0};       // a signal to stop has come
  std::atomic<bool> begun{false};  // the two below are set
  std::atomic<int> end{-1};        // exit code, told by the worker itself
  char folder[4096] = {};
  FileMark earlier;  // the result that lay there before
};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "locks mean nothing to another process");

}  // namespace thalweg::cli
