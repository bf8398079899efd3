// How large a component's weights are, from the headers of its files alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace thalweg {

struct StoredSize {
  int64_t parameters = 0;  // elements of all tensors
  int64_t bytes = 0;       // as stored
};

/// Of files as weight_files() names them, others than safetensors passed over. Reads headers only. Throws
/// Error naming the file whose header is malformed.
StoredSize stored_size(const std::vector<std::filesystem::path>& weights);

}  // namespace thalweg
