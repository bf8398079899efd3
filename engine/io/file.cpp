#include "engine/io/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/core/error.h"

namespace thalweg {
namespace {

std::string reason_of(int code) {
  switch (code) {
    case ENOSPC:
      return "the disk is full; free some space and run the job again";
    case EDQUOT:
      return "the disk quota is used up; free some space and run the job again";
    case EFBIG:
      return "the file grew beyond the size limit of this process or file system";
    case EACCES:
    case EPERM:
      return "permission denied";
    case EROFS:
      return "the file system is read-only";
    default:
      return std::strerror(code);
  }
}

int open_retrying(const std::filesystem::path& path, int flags) {
  int descriptor;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

}  // namespace

void throw_io_error(const std::filesystem::path& path, const std::string& action, int code) {
  throw Error(path.string(), action + ": " + reason_of(code));
}

AppendFile::AppendFile(std::filesystem::path path, Mode mode) : path_(std::move(path)) {
  int flags = O_WRONLY | O_CREAT;
  if (mode == Mode::create_new) flags |= O_EXCL;
  if (mode == Mode::replace) flags |= O_TRUNC;
  if (mode == Mode::append) flags |= O_APPEND;
  descriptor_ = open_retrying(path_, flags);
  if (descriptor_ < 0) throw_io_error(path_, "cannot be opened for writing", errno);
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

AppendFile& AppendFile::operator=(AppendFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

void AppendFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      throw_io_error(path_, "cannot be written", errno);
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void AppendFile::sync() {
  // Pipes and some special files cannot be synced; there is nothing to lose there.
  if (::fsync(descriptor_) != 0 && errno != EINVAL) throw_io_error(path_, "cannot be synced to disk", errno);
}

void write_synced(const std::filesystem::path& path, std::string_view bytes) {
  AppendFile file(path, AppendFile::Mode::replace);
  file.write(bytes);
  file.sync();
}

void sync_path(const std::filesystem::path& path) {
  const int descriptor = open_retrying(path, O_RDONLY);
  if (descriptor < 0) throw_io_error(path, "cannot be opened to sync it", errno);
  const int code = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (code != 0 && code != EINVAL) throw_io_error(path, "cannot be synced to disk", code);
}

}  // namespace thalweg
