// How large a component's weights are, from the headers of its files alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace thalweg {

struct StoredSize {
  int64_t parameters = 0;  // elements of all tensors
  int64_t bytes = 0;       // as stored
};

/// Of the files that weight_files() names. Reads headers only. Throws Error as weight_files() does, or naming
/// the file whose header is malformed.
StoredSize stored_size(const std::filesystem::path& folder, const std::string& stem);

}  // namespace thalweg
