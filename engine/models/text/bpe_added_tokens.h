// Tokens that are found in the text as they stand, before words are cut up.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace thalweg {

class AddedTokens {
 public:
  struct Piece {
    std::string_view text;
    int64_t id;  // of the token that `text` is, or kText
  };
  static constexpr int64_t kText = -1;

  AddedTokens() = default;
  /// Contents (not empty, each once) and their ids.
  explicit AddedTokens(std::vector<std::pair<std::string, int64_t>> tokens);

  /// Cuts `text` at the tokens in it: leftmost first, of those the longest. No piece is empty.
  std::vector<Piece> split(std::string_view text) const;

 private:
  const std::pair<std::string, int64_t>* match(std::string_view text) const;

  std::vector<std::pair<std::string, int64_t>> tokens_;  // by first byte, then the longest first
  std::vector<size_t> first_of_byte_;                    // 257 bounds into tokens_, or none
};

}  // namespace thalweg
