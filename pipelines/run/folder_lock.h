// One process a folder: two runs in one would overwrite each other's checkpoints.
#pragma once

#include <filesystem>

namespace thalweg {

/// Holds the folder until destroyed, or until the process dies in whatever way. Throws Error at /output when
/// another process holds it and does not let go in 1.5 s: one that was killed takes a while to be gone. File
/// systems without locks are not guarded.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace thalweg
