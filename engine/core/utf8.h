// UTF-8 a character at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace thalweg {

/// Bytes of the character at the front of `text`; 0 when none is: overlong forms, surrogates, values above
/// U+10FFFF and sequences cut short are no characters. Unicode 15, table 3-7: only the second byte has
/// narrower bounds than 80..BF.
inline size_t utf8_character_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(text[at]); };
  const auto first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (length == 0 || text.size() < length) return 0;
  const uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  return length;
}

}  // namespace thalweg
