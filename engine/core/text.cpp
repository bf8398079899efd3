#include "engine/core/text.h"

#include <algorithm>
#include <cstdint>

#include "engine/core/utf8.h"

namespace thalweg {
namespace {

uint8_t byte_at(std::string_view text, size_t at) {
  return static_cast<uint8_t>(text[at]);
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
    const auto length = utf8_character_length(text.substr(at));
    if (length == 0) break;
    at += length;
  }
  return at;
}

std::string printable(std::string_view text, size_t max_bytes) {
  std::string shown;
  for (size_t at = 0; at < text.size();) {
    const auto valid = utf8_character_length(text.substr(at));
    const auto length = std::max<size_t>(1, valid);
    const auto character = text.substr(at, length);
    if (shown.size() + length > max_bytes) return shown + "...";
    if (character == "\n" || character == "\r" || character == "\t")
      shown += ' ';
    else if (valid == 0 || is_control(character))
      shown += '?';
    else
      shown += character;
    at += length;
  }
  return shown;
}

}  // namespace thalweg
