// The Unigram model of SentencePiece (Kudo 2018, arXiv 1804.10959): of all ways to cut a text into pieces,
// the one whose scores add up highest. Scores are added in float64 and ties go to the first way found, as the
// `tokenizers` library does (decision 0010).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace thalweg {

struct UnigramPiece {
  std::string text;
  double score = 0.0;  // natural logarithm of its probability
};

class Unigram {
 public:
  /// A piece's id is its place in the list; of equal pieces the last counts. `unknown` is the id of what no
  /// piece covers. Throws Error at `place` for a list without that id, an empty text but that of `unknown`,
  /// or a score that is not finite.
  Unigram(std::vector<UnigramPiece> pieces, int64_t unknown, const std::string& place);

  /// Appends the ids of `text` (valid UTF-8). Characters in a row that no piece covers become one id.
  void encode(std::string_view text, std::vector<int64_t>& ids) const;

  int64_t size() const { return static_cast<int64_t>(pieces_.size()); }
  /// -1 when there is no such piece.
  int64_t id(const std::string& text) const;

 private:
  struct Best;
  void extend(std::string_view text, size_t begin, size_t character, std::vector<Best>& best) const;

  std::vector<UnigramPiece> pieces_;
  int64_t unknown_;
  double unknown_score_ = 0.0;
  std::unordered_map<std::string, int64_t> ids_;
  // Trie of the pieces: (node << 8 | byte) -> node, and the id of each node's piece or -1.
  std::unordered_map<uint64_t, uint32_t> edges_;
  std::vector<int64_t> id_of_node_;
};

}  // namespace thalweg
