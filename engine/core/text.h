// UTF-8 from outside: is it valid, and what of it may be shown.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace thalweg {

/// Length of the longest valid beginning of `text`: overlong forms, surrogates, values above U+10FFFF and
/// sequences cut short end it.
size_t valid_utf8_length(std::string_view text);

inline bool is_valid_utf8(std::string_view text) {
  return valid_utf8_length(text) == text.size();
}

/// One line of valid UTF-8: line ends become blanks, other control characters and invalid bytes '?', and what
/// exceeds `max_bytes` is cut at a character and replaced by "...".
std::string printable(std::string_view text, size_t max_bytes);

}  // namespace thalweg
