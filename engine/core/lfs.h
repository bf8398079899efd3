// Pointers of git-lfs: what a clone that was made without it holds in place of each large file.
#pragma once

#include <filesystem>
#include <string_view>

#include "engine/core/error.h"

namespace thalweg {

/// Throws Error naming `path` when its first `bytes` are those of such a pointer.
inline void refuse_lfs_pointer(std::string_view bytes, const std::filesystem::path& path) {
  if (bytes.starts_with("version https://git-lfs.github.com/spec/"))
    throw Error(path.string(),
                "is a git-lfs pointer, not the file itself: the repository was cloned without git-lfs. Run "
                "`git lfs install && git lfs pull` in it, or download the file anew");
}

}  // namespace thalweg
