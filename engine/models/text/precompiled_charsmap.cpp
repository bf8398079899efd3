#include "engine/models/text/precompiled_charsmap.h"

#include "engine/core/bytes.h"
#include "engine/core/error.h"
#include "engine/models/text/unicode.h"

namespace thalweg {
namespace {

/// Longer ones are not looked up whole, only character by character.
constexpr size_t kMaxGraphemeBytes = 5;

// Units of the darts-clone double array.
bool has_leaf(uint32_t unit) {
  return ((unit >> 8) & 1) != 0;
}
uint32_t value_of(uint32_t unit) {
  return unit & 0x7fffffffu;
}
uint32_t label_of(uint32_t unit) {
  return unit & 0x800000ffu;
}
size_t offset_of(uint32_t unit) {
  return size_t{unit >> 10} << ((unit & (1u << 9)) >> 6);
}

}  // namespace

PrecompiledCharsmap::PrecompiledCharsmap(std::string_view bytes, std::string place)
    : place_(std::move(place)) {
  if (bytes.empty()) return;
  const auto refuse = [&](const char* what) {
    throw Error(place_, std::string("its precompiled_charsmap is damaged: ") + what);
  };
  if (bytes.size() < 4) refuse("it is too short");
  const size_t trie_bytes = little_endian<uint32_t>(bytes);
  bytes.remove_prefix(4);
  if (trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes > bytes.size())
    refuse("the size of its trie is wrong");
  for (size_t i = 0; i < trie_bytes; i += 4) trie_.push_back(little_endian<uint32_t>(bytes.substr(i)));
  replacements_ = bytes.substr(trie_bytes);
  if (!is_valid_utf8(replacements_)) refuse("its replacements are not UTF-8");
}

uint32_t PrecompiledCharsmap::unit(size_t position) const {
  if (position >= trie_.size())
    throw Error(place_, "its precompiled_charsmap is damaged: the trie leads outside of itself");
  return trie_[position];
}

// The shortest rule that begins `text` is the one that counts, for all of it.
std::optional<std::string_view> PrecompiledCharsmap::replacement(std::string_view text) const {
  size_t position = offset_of(unit(0));
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte == 0) return std::nullopt;
    position ^= byte;
    const auto node = unit(position);
    if (label_of(node) != byte) return std::nullopt;
    position ^= offset_of(node);
    if (!has_leaf(node)) continue;
    const auto begin = size_t{value_of(unit(position))};
    if (begin > replacements_.size())
      throw Error(place_, "its precompiled_charsmap is damaged: a rule has no replacement");
    const auto rest = std::string_view(replacements_).substr(begin);
    return rest.substr(0, rest.find('\0'));
  }
  return std::nullopt;
}

void PrecompiledCharsmap::append(std::string& out, std::string_view grapheme) const {
  if (grapheme.size() <= kMaxGraphemeBytes) {
    if (const auto whole = replacement(grapheme)) {
      out += *whole;
      return;
    }
  }
  for (size_t begin = 0; begin < grapheme.size();) {
    size_t end = begin;
    next_character(grapheme, end);
    const auto character = grapheme.substr(begin, end - begin);
    out += replacement(character).value_or(character);
    begin = end;
  }
}

std::string PrecompiledCharsmap::normalize(std::string_view text) const {
  if (trie_.empty()) return std::string(text);
  std::string out;
  out.reserve(text.size());
  for_each_grapheme(text, [&](std::string_view grapheme) { append(out, grapheme); });
  return out;
}

}  // namespace thalweg
