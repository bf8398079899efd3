#include "engine/models/text/html_unescape.h"

#include <unicode/utf8.h>

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <unordered_map>

namespace thalweg {
namespace {

constexpr uint32_t kReplacement = 0xFFFD, kLast = 0x10FFFF;
constexpr size_t kLongestName = 32;  // characters after "&", as Python looks for them

void append(std::string& utf8, uint32_t character) {
  uint8_t bytes[U8_MAX_LENGTH];
  int32_t length = 0;
  U8_APPEND_UNSAFE(bytes, length, character);
  utf8.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

/// By name, with ";" at its end or, where HTML knows it so, without.
const std::unordered_map<std::string, std::string>& entities() {
  static const auto table = [] {
    std::unordered_map<std::string, std::string> known;
    std::istringstream lines(kHtmlEntities);
    for (std::string line; std::getline(lines, line);) {
      if (line.empty()) continue;
      std::istringstream words(line);
      std::string name, characters;
      words >> name >> std::hex;
      for (uint32_t character = 0; words >> character;) append(characters, character);
      const bool bare = name.front() == '*';
      if (bare) name.erase(0, 1), known[name] = characters;
      known[name + ";"] = characters;
    }
    return known;
  }();
  return table;
}

/// What a browser makes of the number; Python's own table.
void append_number(std::string& utf8, uint32_t number) {
  constexpr uint32_t kWindows1252[] = {0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                       0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D,   0x017D, 0x8F,
                                       0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                       0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178};
  if (number == 0 || number > kLast || (number >= 0xD800 && number <= 0xDFFF))
    return append(utf8, kReplacement);
  if (number >= 0x80 && number <= 0x9F) return append(utf8, kWindows1252[number - 0x80]);
  const bool control =
      (number < 0x20 && number != '\t' && number != '\n' && number != '\f' && number != '\r') ||
      number == 0x7F;
  const bool no_character = (number >= 0xFDD0 && number <= 0xFDEF) || (number & 0xFFFE) == 0xFFFE;
  if (!control && !no_character) append(utf8, number);
}

/// A number behind "&#": how many bytes it takes, 0: it is none.
size_t take_number(std::string_view rest, std::string& utf8) {
  const bool hex = !rest.empty() && (rest[0] == 'x' || rest[0] == 'X');
  size_t end = hex ? 1 : 0;
  const auto digit = [&](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return hex && lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  const size_t begin = end;
  uint32_t number = 0;
  for (; end < rest.size() && digit(rest[end]) >= 0; ++end)
    number =
        std::min<uint32_t>(number * (hex ? 16 : 10) + static_cast<uint32_t>(digit(rest[end])), kLast + 1);
  if (end == begin) return 0;
  append_number(utf8, number);
  return end < rest.size() && rest[end] == ';' ? end + 1 : end;
}

/// A name behind "&": the longest one that is known, at least two letters.
size_t take_name(std::string_view rest, std::string& utf8) {
  size_t end = 0;
  for (size_t characters = 0; end < rest.size() && characters < kLongestName; ++characters) {
    if (std::string_view("\t\n\f <&#;").find(rest[end]) != std::string_view::npos) break;
    do ++end;
    while (end < rest.size() && (static_cast<unsigned char>(rest[end]) & 0xC0) == 0x80);
  }
  if (end > 0 && end < rest.size() && rest[end] == ';') ++end;
  for (; end > 1; --end) {
    const auto found = entities().find(std::string(rest.substr(0, end)));
    if (found == entities().end()) continue;
    utf8 += found->second;
    return end;
  }
  return 0;
}

}  // namespace

std::string html_unescape(std::string_view text) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const auto mark = std::min(text.find('&', at), text.size());
    result += text.substr(at, mark - at);
    at = mark;
    if (at == text.size()) break;
    const auto rest = text.substr(at + 1);
    const bool number = !rest.empty() && rest[0] == '#';
    const auto taken = number ? take_number(rest.substr(1), result) : take_name(rest, result);
    if (taken == 0) result += '&';
    at += 1 + taken + (number && taken > 0 ? 1 : 0);
  }
  return result;
}

}  // namespace thalweg
