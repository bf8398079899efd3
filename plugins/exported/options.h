// The configuration of the exported reward.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace exported {

struct Options {
  std::string path;   // folder of reward.json
  int64_t batch = 8;  // pictures (or videos) of one call of the network; at most what the folder allows
  std::string dtype;  // in which the network runs; "": as exported
};

/// Throws thalweg::Error at the JSON pointer within the configuration.
Options read_options(std::string_view config_json);

}  // namespace exported
