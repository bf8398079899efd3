// The element types that safetensors knows, and which of them have a tensor here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace thalweg {

struct StoredDtype {
  std::string_view name;                // as the file's header spells it
  uint64_t bits;                        // of one element
  std::optional<at::ScalarType> dtype;  // none: known to the format, not read here
};

/// Null when the format has no such name.
const StoredDtype* find_stored_dtype(std::string_view name);

/// Null when the format cannot store `dtype`.
const StoredDtype* find_stored_dtype(at::ScalarType dtype);

}  // namespace thalweg
