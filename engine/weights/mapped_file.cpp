#include "engine/weights/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/core/error.h"
#include "engine/core/lfs.h"

namespace thalweg {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw Error(path.string(), what + ": " + std::strerror(errno));
}

size_t size_of(int fd, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) fail(path, "cannot be examined");
  if (!S_ISREG(status.st_mode)) throw Error(path.string(), "is not a regular file");
  return static_cast<size_t>(status.st_size);
}

}  // namespace

std::shared_ptr<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  // Non-blocking, so that a FIFO in place of the file is refused instead of waited for.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail(path, "cannot be opened");
  const std::shared_ptr<MappedFile> file(new MappedFile(path, fd));
  file->size_ = size_of(fd, path);
  if (file->size_ > 0) {
    // No reserve: pages are copied only where something writes, which for weights is nowhere or everywhere.
    void* data = ::mmap(nullptr, file->size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    if (data == MAP_FAILED) fail(path, "cannot be mapped");
    file->data_ = static_cast<std::byte*>(data);
    refuse_lfs_pointer({reinterpret_cast<const char*>(file->data_), std::min<size_t>(file->size_, 64)}, path);
  }
  return file;
}

void MappedFile::require_same_size() const {
  if (size_of(fd_, path_) != size_) throw Error(path_.string(), "changed its size while it was read");
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(data_, size_);
  ::close(fd_);
}

}  // namespace thalweg
