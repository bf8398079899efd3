#include "engine/models/wan/prompt_clean.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/models/text/html_unescape.h"
#include "engine/models/text/unicode.h"

namespace thalweg {
namespace {

/// str.strip() of Python, which takes the four separators of ASCII for white space too.
std::string stripped(std::string_view text) {
  size_t begin = text.size(), end = 0;
  for (size_t at = 0; at < text.size();) {
    const auto start = at;
    const bool separator = text[at] >= 0x1c && text[at] <= 0x1f;
    if (next_character(text, at) == CharacterKind::kSpace || separator) continue;
    begin = std::min(begin, start);
    end = at;
  }
  return std::string(begin < end ? text.substr(begin, end - begin) : std::string_view());
}

std::string collapsed(std::string_view text) {
  std::string result;
  bool space = false;
  for (size_t at = 0; at < text.size();) {
    const auto start = at;
    if (next_character(text, at) == CharacterKind::kSpace) {
      space = true;
      continue;
    }
    if (space) result += ' ';
    space = false;
    result += text.substr(start, at - start);
  }
  if (space) result += ' ';
  return result;
}

}  // namespace

std::string wan_prompt_clean(std::string_view utf8) {
  if (!is_valid_utf8(utf8)) throw Error("prompt", "is not valid UTF-8; save the prompts as UTF-8");
  return stripped(collapsed(stripped(html_unescape(html_unescape(utf8)))));
}

}  // namespace thalweg
