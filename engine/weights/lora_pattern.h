// Ranks and alphas by layer, as PEFT's rank_pattern and alpha_pattern give them: a key is the end of a
// layer's name from a dot on, "attn.to_q", or a regular expression of such an end. The first key that fits
// decides.
#pragma once

#include <map>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace thalweg {

/// One key: what Python's re.match(rf"(.*\.)?({key})$", layer) finds. A leading "^" asks for the whole name.
class LoraPattern {
 public:
  /// Throws Error at `place` for what is no regular expression, or one that is not understood: counted
  /// repeats, look-behind, flags, back references, more than 512 characters.
  LoraPattern(const std::string& key, const std::string& place);
  bool matches(std::string_view layer) const;

 private:
  std::string name_;  // where the key is one: '.' is any character, kDot a dot
  bool whole_ = false;
  std::optional<std::regex> expression_;
};

using LoraPatterns = std::vector<std::pair<std::string, double>>;

/// The value of each layer that a key fits. Throws Error at `pointer`/KEY for a key that decides nothing: it
/// fits no layer, or earlier ones have them all.
std::map<std::string, double> values_by_layer(const LoraPatterns& patterns,
                                              const std::vector<std::string>& layers,
                                              const std::string& pointer);

/// Rank and alpha of a LoRA, and of the layers that have others.
struct LoraStrength {
  int64_t rank = 0;
  double alpha = 0.0;
  std::map<std::string, int64_t> ranks = {};
  std::map<std::string, double> alphas = {};

  int64_t rank_of(const std::string& layer) const;
  double alpha_of(const std::string& layer) const;
  /// What the layer's up * down is multiplied by.
  double scale_of(const std::string& layer) const;
};

}  // namespace thalweg
