// The header of a safetensors file: JSON from outside, checked before any size in it is used. Reading it
// takes time in proportion to its length (and a sort), and memory below its length besides the metadata's
// texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/weights/dtypes.h"
#include "engine/weights/safetensors.h"

namespace thalweg {

inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference reader's limit
// Not the format's: LibTorch's, and 3 times what the largest published models hold in all their files.
inline constexpr size_t kMaxDimensions = 64, kMaxTensors = size_t{1} << 18, kMaxMetadata = size_t{1} << 16;

struct TensorEntry {
  std::string_view name;
  const StoredDtype* dtype = nullptr;
  uint64_t begin = 0, end = 0;  // bytes from the start of the data
  size_t shape_at = 0;          // byte of the header at which the shape stands: shape_of
};
static_assert(sizeof(TensorEntry) <= 48, "no larger than the shortest tensor's text");

struct SafetensorsHeader {
  std::vector<TensorEntry> entries;  // by rising offset
  std::deque<std::string> decoded;   // names that the text spells with escapes
  Metadata metadata;
};

/// `json` is the header's text, which the entries alias, `data_bytes` what follows it in the file. On return
/// the entries tile [0, data_bytes) exactly, every span is its shape's, and names differ. Throws Error with
/// `place`.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           const std::string& place);

/// The text of the header at the front of a file's bytes. Throws Error with `place` for a file that is too
/// short, or a length beyond the format's limit or the file's end.
std::string_view header_text(std::span<const std::byte> bytes, const std::string& place);

/// Sizes of an entry of the header of this text; at most 64, each below 2^63.
std::vector<int64_t> shape_of(const TensorEntry& entry, std::string_view json);

/// A name from a file, fit to be shown: quoted, cut at 80 bytes, control characters as '?'.
std::string shown_name(std::string_view name);

}  // namespace thalweg
