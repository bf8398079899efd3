// Text that comes from a plugin is not trusted to be UTF-8, short or printable.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace thalweg {

/// `text` (NULL: "") cut at max_bytes, where every byte that is no part of valid UTF-8 and every control
/// character is replaced by '?' (newlines and tabs by a space).
std::string clean_text(const char* text, size_t max_bytes = 4096);

/// True when `text` is valid UTF-8 without control characters.
bool is_clean_text(std::string_view text);

}  // namespace thalweg
