// One process a folder: two runs in one would overwrite each other's checkpoints.
#pragma once

#include <filesystem>

namespace thalweg {

/// Holds the folder until destroyed, or until the process dies in whatever way. Throws Error at /output when
/// another process holds it. File systems without locks are not guarded.
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
