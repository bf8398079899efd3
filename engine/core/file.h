// Files that must survive a crash: whole writes, fsync, errors that name the path and the reason.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace thalweg {

/// Throws IoError(path, "<action>: <reason>"). A full disk, a quota and a missing right are named in words.
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

/// A file that takes its final name only when it is whole; until then it is PATH.tmp, which the destructor
/// removes. All calls throw IoError naming PATH.
class PendingFile {
 public:
  explicit PendingFile(std::filesystem::path path);
  ~PendingFile();
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  void write(std::string_view bytes);

  /// Renames into place: a kill leaves the old file or the new one.
  void publish();

  /// The same, but first waits for the disk, and afterwards for the folder's entry: so does a power cut.
  void commit();

 private:
  void close();

  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
  bool done_ = false;
};

/// Replaces a file by `bytes` with PendingFile::commit().
void write_synced(const std::filesystem::path& path, std::string_view bytes);

/// Fsyncs a file, or a folder's list of entries.
void sync_path(const std::filesystem::path& path);

/// All files and folders below `folder`, sorted.
std::vector<std::filesystem::path> entries_below(const std::filesystem::path& folder);

/// Fsyncs every file and folder below `folder`, then `folder` itself.
void sync_tree(const std::filesystem::path& folder);

/// Renames the folder `from` to `to`, in one instant where a folder of that name stands already (the older
/// one is then removed), and fsyncs the folder around it.
void replace_folder(const std::filesystem::path& from, const std::filesystem::path& to);

/// Removes a file or a folder with all it holds; what is not there is no error.
void remove_path(const std::filesystem::path& path);

}  // namespace thalweg
