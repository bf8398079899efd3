#include "engine/weights/lora_pattern.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

constexpr size_t kMaxKey = 512;
constexpr char kDot = '\x01';  // a dot and nothing else

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '.';
}

/// The key as a name of fixed length; none where it is more than that. Files have hundreds of such keys.
std::optional<std::string> plain_name(std::string_view key) {
  std::string name;
  for (size_t i = 0; i < key.size(); ++i) {
    if (key[i] == '\\' && i + 1 < key.size() && key[i + 1] == '.') {
      name += kDot;
      ++i;
    } else if (is_name_character(key[i])) {
      name += key[i];
    } else {
      return std::nullopt;
    }
  }
  return name.empty() ? std::nullopt : std::optional(name);
}

/// What of a regular expression Python and C++ read alike, and in a time that is bounded.
void require_common(std::string_view key, const std::string& place) {
  const auto refuse = [&](const std::string& what) {
    throw Error(place, "the pattern " + shown_name(std::string(key)) + " has " + what +
                           ", which is not understood; write the end of a layer's name, or a simpler one");
  };
  for (size_t i = 0; i < key.size(); ++i) {
    const auto next = i + 1 < key.size() ? key[i + 1] : '\0';
    if (key[i] == '{') refuse("a counted repeat {n}");
    if (key[i] == '[' && (next == ':' || next == '.' || next == '='))
      refuse("a class [" + std::string(1, next));
    if (key[i] == '(' && next == '?') {
      const auto kind = i + 2 < key.size() ? key[i + 2] : '\0';
      if (kind != ':' && kind != '=' && kind != '!') refuse("a group (?" + std::string(1, kind));
    }
    if (key[i] != '\\') continue;
    const bool letter =
        (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z') || (next >= '0' && next <= '9');
    if (letter && std::string_view("dDwWsSbB").find(next) == std::string_view::npos)
      refuse("an escape \\" + std::string(1, next));
    ++i;
  }
}

}  // namespace

LoraPattern::LoraPattern(const std::string& key, const std::string& place) {
  if (key.empty()) throw Error(place, "an empty pattern fits no layer");
  if (key.size() > kMaxKey)
    throw Error(place, "a pattern of " + std::to_string(key.size()) + " characters is too long");
  std::string_view name = key;
  if (name.starts_with('^')) name.remove_prefix(1), whole_ = true;
  if (name.ends_with('$')) name.remove_suffix(1);
  if (const auto plain = plain_name(name)) {
    name_ = *plain;
    return;
  }
  require_common(key, place);
  try {
    // Matched without backtracking: no key takes longer than its length times the name's.
    const auto rules = std::regex::ECMAScript | std::regex_constants::__polynomial;
    const std::regex alone(key, rules);  // whole by itself
    expression_.emplace("(?:.*\\.)?(?:" + key + ")", rules);
  } catch (const std::regex_error&) {
    throw Error(place,
                "the pattern " + shown_name(key) + " is no regular expression that is understood here");
  }
}

bool LoraPattern::matches(std::string_view layer) const {
  if (expression_) return std::regex_match(layer.begin(), layer.end(), *expression_);
  if (layer.size() < name_.size()) return false;
  const auto before = layer.size() - name_.size();
  if (before > 0 && (whole_ || layer[before - 1] != '.')) return false;
  return std::equal(name_.begin(), name_.end(), layer.begin() + static_cast<std::ptrdiff_t>(before),
                    [](char key, char c) { return key == '.' || (key == kDot ? c == '.' : key == c); });
}

std::map<std::string, double> values_by_layer(const LoraPatterns& patterns,
                                              const std::vector<std::string>& layers,
                                              const std::string& pointer) {
  std::map<std::string, double> values;
  for (const auto& [key, value] : patterns) {
    const LoraPattern pattern(key, pointer);
    bool fits = false, decides = false;
    for (const auto& layer : layers) {
      if (!pattern.matches(layer)) continue;
      fits = true;
      decides = values.emplace(layer, value).second || decides;
    }
    if (fits && !decides)
      throw Error(pointer, "the pattern " + shown_name(key) +
                               " decides nothing: earlier patterns fit all of its layers, and the first that "
                               "fits counts");
    if (!fits)
      throw Error(pointer, "the pattern " + shown_name(key) + " fits none of the " +
                               std::to_string(layers.size()) + " adapted layers" +
                               (layers.empty() ? "" : ", such as " + layers.front()));
  }
  return values;
}

int64_t LoraStrength::rank_of(const std::string& layer) const {
  const auto it = ranks.find(layer);
  return it == ranks.end() ? rank : it->second;
}

double LoraStrength::alpha_of(const std::string& layer) const {
  const auto it = alphas.find(layer);
  return it == alphas.end() ? alpha : it->second;
}

double LoraStrength::scale_of(const std::string& layer) const {
  return alpha_of(layer) / static_cast<double>(rank_of(layer));
}

}  // namespace thalweg
