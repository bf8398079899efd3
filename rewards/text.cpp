#include "rewards/text.h"

#include <cstdint>
#include <cstring>

namespace thalweg {
namespace {

/// Length of the valid UTF-8 sequence at the start of `s`, or 0.
size_t sequence_length(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (length == 0 || lead > 0xF4 || s.size() < length) return 0;
  uint32_t code = lead & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3Fu);
  }
  // Overlong forms, surrogates and codes past the last plane are not UTF-8.
  const uint32_t smallest = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return code < smallest || surrogate || code > 0x10FFFF ? 0 : length;
}

bool is_control(char c) {
  return static_cast<uint8_t>(c) < 0x20 || c == 0x7F;
}

}  // namespace

std::string clean_text(const char* text, size_t max_bytes) {
  std::string clean;
  if (text == nullptr) return clean;
  std::string_view rest(text, strnlen(text, max_bytes));
  while (!rest.empty()) {
    const size_t length = sequence_length(rest);
    if (length == 0) {
      clean += '?';
    } else if (length == 1 && is_control(rest[0])) {
      clean += rest[0] == '\n' || rest[0] == '\t' ? ' ' : '?';
    } else {
      clean += rest.substr(0, length);
    }
    rest.remove_prefix(length == 0 ? 1 : length);
  }
  return clean;
}

bool is_clean_text(std::string_view text) {
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    if (length == 0 || (length == 1 && is_control(text[0]))) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace thalweg
