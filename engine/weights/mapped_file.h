// A file's bytes by mmap. Writes to them stay in this process (copy-on-write). When another process shortens
// the file, touching what is gone ends this one (SIGBUS): replace weights by rename, never in place.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <utility>

namespace thalweg {

class MappedFile {
 public:
  /// Throws Error naming the path when it is absent, not a regular file, or cannot be mapped.
  static std::shared_ptr<MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /// Page-aligned; null when the file is empty.
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

  /// Throws Error naming the path when the file no longer has the size with which it was mapped.
  void require_same_size() const;

 private:
  MappedFile(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::filesystem::path path_;
  int fd_;  // kept open: the path may by now name another file
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace thalweg
