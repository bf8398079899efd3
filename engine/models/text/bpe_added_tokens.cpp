#include "engine/models/text/bpe_added_tokens.h"

#include <algorithm>

namespace thalweg {
namespace {

uint8_t first_byte(std::string_view text) {
  return static_cast<uint8_t>(text.front());
}

}  // namespace

AddedTokens::AddedTokens(std::vector<std::pair<std::string, int64_t>> tokens) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(), [](const auto& a, const auto& b) {
    const auto byte_a = first_byte(a.first), byte_b = first_byte(b.first);
    return byte_a != byte_b ? byte_a < byte_b : a.first.size() > b.first.size();
  });
  if (tokens_.empty()) return;
  first_of_byte_.assign(257, 0);
  for (const auto& token : tokens_) ++first_of_byte_[first_byte(token.first) + 1u];
  for (size_t byte = 1; byte < first_of_byte_.size(); ++byte)
    first_of_byte_[byte] += first_of_byte_[byte - 1];
}

const std::pair<std::string, int64_t>* AddedTokens::match(std::string_view text) const {
  const auto byte = first_byte(text);
  for (size_t i = first_of_byte_[byte]; i < first_of_byte_[byte + 1u]; ++i) {
    if (text.starts_with(tokens_[i].first)) return &tokens_[i];
  }
  return nullptr;
}

std::vector<AddedTokens::Piece> AddedTokens::split(std::string_view text) const {
  std::vector<Piece> pieces;
  size_t begin = 0;
  for (size_t i = 0; i < text.size() && !tokens_.empty();) {
    const auto* token = match(text.substr(i));
    if (!token) {
      ++i;
      continue;
    }
    if (i > begin) pieces.push_back({text.substr(begin, i - begin), kText});
    pieces.push_back({text.substr(i, token->first.size()), token->second});
    i += token->first.size();
    begin = i;
  }
  if (begin < text.size()) pieces.push_back({text.substr(begin), kText});
  return pieces;
}

}  // namespace thalweg
