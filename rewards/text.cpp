#include "rewards/text.h"

#include <cstdint>
#include <cstring>

#include "engine/core/utf8.h"

namespace thalweg {
namespace {

bool is_control(char c) {
  return static_cast<uint8_t>(c) < 0x20 || c == 0x7F;
}

}  // namespace

std::string clean_text(const char* text, size_t max_bytes) {
  std::string clean;
  if (text == nullptr) return clean;
  std::string_view rest(text, strnlen(text, max_bytes));
  while (!rest.empty()) {
    const size_t length = utf8_character_length(rest);
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
    const size_t length = utf8_character_length(text);
    if (length == 0 || (length == 1 && is_control(text[0]))) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace thalweg
