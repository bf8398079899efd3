// A file's bytes by mmap. Writes to them stay in this process (copy-on-write).
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>

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

 private:
  MappedFile(std::byte* data, size_t size) : data_(data), size_(size) {}

  std::byte* data_;
  size_t size_;
};

}  // namespace thalweg
