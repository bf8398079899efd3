// Files below a folder, and never elsewhere: the kernel follows the path (openat2, RESOLVE_BENEATH).
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "engine/core/descriptor.h"

namespace thalweg::service {

enum class Beneath {
  inside,   ///< something is there, reached without leaving the folder
  absent,   ///< nothing is there
  outside,  ///< a link or ".." leads out
};

Beneath look_beneath(const std::filesystem::path& folder, const std::string& path);

/// A regular file below `folder`, reached without any link; null where there is none.
std::shared_ptr<const Descriptor> open_beneath(const std::filesystem::path& folder, const std::string& path);

}  // namespace thalweg::service
