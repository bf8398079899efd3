// Files that must survive a crash: whole writes, fsync, errors that name the path and the reason.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace thalweg {

/// Throws Error(path, "<action>: <reason>"). A full disk, a quota and a missing right are named in words.
[[noreturn]] void throw_io_error(const std::filesystem::path& path, const std::string& action, int code);

/// An open file to which whole blocks are appended. Move-only; closes on destruction.
class AppendFile {
 public:
  enum class Mode {
    create_new,  ///< the file must not exist
    replace,     ///< emptied when it exists
    append,      ///< kept when it exists
  };

  AppendFile(std::filesystem::path path, Mode mode);
  ~AppendFile();
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;

  /// Hands all bytes to the system (no buffer of ours): they survive the death of this process.
  void write(std::string_view bytes);

  /// Waits until the bytes are on the disk: they survive a power cut.
  void sync();

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// Writes a new file (or replaces one) and fsyncs it.
void write_synced(const std::filesystem::path& path, std::string_view bytes);

/// Fsyncs a file, or a folder's list of entries.
void sync_path(const std::filesystem::path& path);

}  // namespace thalweg
