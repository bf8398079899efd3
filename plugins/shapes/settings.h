// Rewards that nothing can be set of.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace shapes {

/// Throws std::invalid_argument, with the JSON pointer, for any key in a JSON object.
inline void refuse_settings(std::string_view config_json, const char* reward) {
  const auto begin = config_json.find('"');
  if (begin == std::string_view::npos) return;
  const auto key = config_json.substr(begin + 1, config_json.find('"', begin + 1) - begin - 1);
  throw std::invalid_argument("/" + std::string(key) + ": unknown key; the " + reward +
                              " reward has no settings");
}

}  // namespace shapes
