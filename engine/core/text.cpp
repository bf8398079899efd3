#include "engine/core/text.h"

#include <algorithm>
#include <cstdint>

namespace thalweg {
namespace {

uint8_t byte_at(std::string_view text, size_t at) {
  return static_cast<uint8_t>(text[at]);
}

/// Bytes of the character that starts at `at`; 0 when none does. Unicode 15, table 3-7: only the second byte
/// has narrower bounds than 80..BF.
size_t character_length(std::string_view text, size_t at) {
  const auto first = byte_at(text, at);
  if (first < 0x80) return 1;
  const size_t length = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (length == 0 || text.size() - at < length) return 0;
  const uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (byte_at(text, at + 1) < low || byte_at(text, at + 1) > high) return 0;
  for (size_t i = 2; i < length; ++i)
    if ((byte_at(text, at + i) & 0xC0) != 0x80) return 0;
  return length;
}

/// C0, DEL, C1, line and paragraph separator, and the controls of writing direction, which would let a name
/// rearrange the line that shows it.
bool is_control(std::string_view character) {
  const auto first = byte_at(character, 0);
  if (first < 0x20 || first == 0x7F) return true;
  if (first == 0xC2) return byte_at(character, 1) < 0xA0;
  if (!character.starts_with("\xE2\x80") && !character.starts_with("\xE2\x81")) return false;
  const auto last = byte_at(character, 2);
  if (byte_at(character, 1) == 0x80) return last == 0x8E || last == 0x8F || (last >= 0xA8 && last <= 0xAE);
  return last >= 0xA6 && last <= 0xA9;
}

}  // namespace

size_t valid_utf8_length(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto length = character_length(text, at);
    if (length == 0) break;
    at += length;
  }
  return at;
}

std::string printable(std::string_view text, size_t max_bytes) {
  std::string shown;
  for (size_t at = 0; at < text.size();) {
    const auto length = std::max<size_t>(1, character_length(text, at));
    const auto character = text.substr(at, length);
    if (shown.size() + length > max_bytes) return shown + "...";
    if (character == "\n" || character == "\r" || character == "\t")
      shown += ' ';
    else if (character_length(text, at) == 0 || is_control(character))
      shown += '?';
    else
      shown += character;
    at += length;
  }
  return shown;
}

}  // namespace thalweg
