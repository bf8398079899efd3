// Prompts outside a grammar: the log hears of each once.
#pragma once

#include <cstddef>
#include <set>
#include <string>

namespace shapes {

class RefusedPrompts {
 public:
  /// The line to log, or "" where this prompt, or enough of others, were already said.
  std::string line(const std::string& prompt, const std::string& reason) {
    if (said_.size() >= kMost || !said_.insert(prompt).second) return "";
    return prompt.substr(0, 200) + " is not scored: " + reason;
  }

 private:
  static constexpr std::size_t kMost = 100;
  std::set<std::string> said_;
};

}  // namespace shapes
