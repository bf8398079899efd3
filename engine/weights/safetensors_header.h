// The header of a safetensors file: JSON from outside, read as a stream of events so that a hostile one costs
// no more memory than its own bytes, and checked before any size in it is used.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/weights/dtypes.h"
#include "engine/weights/safetensors.h"

namespace thalweg {

inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference reader's limit
inline constexpr size_t kMaxDimensions = 64;

struct TensorEntry {
  std::string name;
  const StoredDtype* dtype = nullptr;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // bytes from the start of the data
};

struct SafetensorsHeader {
  std::vector<TensorEntry> entries;  // by rising offset
  Metadata metadata;
};

/// `json` is the header's text, `data_bytes` what follows it in the file. On return the entries tile
/// [0, data_bytes) exactly and every span is its shape's. Throws Error with `place`.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           const std::string& place);

/// A name from a file, fit to be shown: quoted, cut at 80 bytes, control characters as '?'.
std::string shown_name(std::string_view name);

}  // namespace thalweg
