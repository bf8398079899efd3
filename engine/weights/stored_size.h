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

/// Of "<stem>.safetensors" in `folder`, or else of all its shards "<stem>-*.safetensors". Reads headers only.
/// Throws Error naming the folder when there is none, or the file whose header is malformed.
StoredSize stored_size(const std::filesystem::path& folder, const std::string& stem);

}  // namespace thalweg
