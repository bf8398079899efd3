#include "engine/core/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "engine/core/error.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

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

// Never 0 to 2: where a plugin has closed one of them, what is printed would go into the file.
int open_retrying(const fs::path& path, int flags) {
  int descriptor;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0 || descriptor > STDERR_FILENO) return descriptor;
  const int higher = ::fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), code = errno;
  ::close(descriptor);
  errno = code;
  return higher;
}

// Some systems write at most 2 GiB at once.
void write_all(int descriptor, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written =
        ::write(descriptor, bytes.data(), std::min<size_t>(bytes.size(), size_t{1} << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_io_error(path, "cannot be written", errno);
    if (written == 0) throw_io_error(path, "cannot be written", EIO);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

// 0 or the reason. Pipes and some special files and folders cannot be synced; nothing is lost there.
int sync_descriptor(int descriptor) {
  while (::fsync(descriptor) != 0) {
    if (errno == EINVAL) return 0;
    if (errno != EINTR) return errno;
  }
  return 0;
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

}  // namespace

void throw_io_error(const fs::path& path, const std::string& action, int code) {
  throw IoError(path.string(), action + ": " + reason_of(code));
}

AppendFile::AppendFile(fs::path path, Mode mode) : path_(std::move(path)) {
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
  write_all(descriptor_, bytes, path_);
}

void AppendFile::sync() {
  if (const int code = sync_descriptor(descriptor_)) throw_io_error(path_, "cannot be synced to disk", code);
}

PendingFile::PendingFile(fs::path path) : path_(std::move(path)), temporary_(path_.string() + ".tmp") {
  descriptor_ = open_retrying(temporary_, O_WRONLY | O_CREAT | O_TRUNC);
  if (descriptor_ < 0) throw_io_error(path_, "cannot be written", errno);
}

PendingFile::~PendingFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!done_) ::unlink(temporary_.c_str());
}

void PendingFile::write(std::string_view bytes) {
  write_all(descriptor_, bytes, path_);
}

// Network file systems may report a failed write here. Linux closes even when interrupted.
void PendingFile::close() {
  if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR)
    throw_io_error(path_, "cannot be written", errno);
}

void PendingFile::publish() {
  if (descriptor_ >= 0) close();
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0)
    throw_io_error(path_, "cannot be renamed into place", errno);
  done_ = true;
}

void PendingFile::commit() {
  if (const int code = sync_descriptor(descriptor_)) throw_io_error(path_, "cannot be synced to disk", code);
  publish();
  sync_path(folder_of(path_));
}

void write_synced(const fs::path& path, std::string_view bytes) {
  PendingFile file(path);
  file.write(bytes);
  file.commit();
}

void sync_path(const fs::path& path) {
  const int descriptor = open_retrying(path, O_RDONLY);
  if (descriptor < 0) throw_io_error(path, "cannot be opened to sync it", errno);
  const int code = sync_descriptor(descriptor);
  ::close(descriptor);
  if (code != 0) throw_io_error(path, "cannot be synced to disk", code);
}

std::vector<fs::path> entries_below(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code ec;
  for (fs::recursive_directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec))
    entries.push_back(it->path());
  if (ec) throw_io_error(folder, "cannot be listed", ec.value());
  std::sort(entries.begin(), entries.end());
  return entries;
}

void sync_tree(const fs::path& folder) {
  for (const auto& entry : entries_below(folder)) sync_path(entry);
  sync_path(folder);
}

void replace_folder(const fs::path& from, const fs::path& to) {
  const auto fail = [&] { throw_io_error(to, "cannot be renamed into place", errno); };
  if (std::rename(from.c_str(), to.c_str()) == 0) return sync_path(folder_of(to));
  if (errno != ENOTEMPTY && errno != EEXIST) fail();
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) {
    sync_path(folder_of(to));
    return remove_path(from);
  }
  if (errno != EINVAL && errno != ENOSYS) fail();
  // File systems without exchange (some network ones): the older folder goes first.
  remove_path(to);
  if (std::rename(from.c_str(), to.c_str()) != 0) fail();
  sync_path(folder_of(to));
}

void remove_path(const fs::path& path) {
  std::error_code ec;
  fs::remove_all(path, ec);
  if (ec) throw_io_error(path, "cannot be removed", ec.value());
}

}  // namespace thalweg
