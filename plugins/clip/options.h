// The configuration of the CLIP reward: see README.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace clip {

struct GoalOptions {
  std::string prompt, baseline;
  double alpha = 0.5;
};

struct Options {
  std::string model;                             // folder of a CLIPModel
  std::string processor;                         // folder of its tokenizer and image processor; "": model
  std::vector<std::string> scores{"clipscore"};  // the columns, in this order
  std::string preprocess;                        // "exact", "smooth" or "letterbox"
  bool has_goal = false;
  GoalOptions goal;
  std::string aesthetic;  // file of the head; "": none

  bool asks_for(std::string_view score) const;
};

/// Throws thalweg::Error at the JSON pointer within the configuration.
Options read_options(std::string_view config_json);

}  // namespace clip
