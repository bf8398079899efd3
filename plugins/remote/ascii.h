// Upper and lower case as URLs, headers and tokens have it: of A to Z alone, whatever the locale is.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace remote {

inline char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

inline std::string ascii_lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return ascii_lower(c); });
  return lower;
}

}  // namespace remote
