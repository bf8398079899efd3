// SentencePiece's compiled normalisation rules (NormalizerSpec.precompiled_charsmap): a double-array trie of
// the texts to be replaced, and the replacements. Applied as the `tokenizers` library does, which differs
// from SentencePiece's own longest match (decision 0010).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace thalweg {

class PrecompiledCharsmap {
 public:
  /// No rules.
  PrecompiledCharsmap() = default;
  /// Bytes: size of the trie, the trie, then the replacements, each ended by a zero. Throws Error at `place`
  /// when they are not of this form.
  PrecompiledCharsmap(std::string_view bytes, std::string place);

  /// `text` is valid UTF-8, and so is the result. Throws Error when the trie leads outside of itself.
  std::string normalize(std::string_view text) const;

 private:
  std::optional<std::string_view> replacement(std::string_view text) const;
  uint32_t unit(size_t position) const;
  void append(std::string& out, std::string_view grapheme) const;

  std::vector<uint32_t> trie_;
  std::string replacements_;
  std::string place_;
};

}  // namespace thalweg
