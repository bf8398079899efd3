// A to Z as a to z: names of headers and hosts, whatever the locale.
#pragma once

#include <string>
#include <string_view>

namespace thalweg::service {

inline std::string lower_case(std::string_view text) {
  std::string out(text);
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

}  // namespace thalweg::service
