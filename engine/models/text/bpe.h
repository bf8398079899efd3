// Byte-level byte-pair encoding as CLIP uses it: the last byte of a word carries the suffix "</w>".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace thalweg {

/// GPT-2's printable name of each byte: printable Latin-1 stands for itself, the other bytes for U+0100
/// onwards in order.
std::array<std::string, 256> byte_alphabet();

/// What the files of a tokenizer say. Bytes are spelt in that alphabet, in which no token holds a blank;
/// `*_place` name the files in errors.
struct BpeVocabulary {
  std::string ids_place, merges_place;
  std::unordered_map<std::string, int64_t> ids;
  std::vector<std::pair<std::string, std::string>> merges;  // the first has the highest priority
};

class Bpe {
 public:
  /// `unknown` stands for a byte that has no token. Throws Error for an id outside [0, 2^31), an id given
  /// twice, an `unknown` or a merge that names tokens the vocabulary lacks.
  Bpe(BpeVocabulary vocabulary, const std::string& unknown);

  /// Appends the ids of one word (any bytes). O(n log n) in its length.
  void encode(std::string_view word, std::vector<int64_t>& ids) const;

  std::optional<int64_t> id(const std::string& token) const;
  int64_t token_count() const { return static_cast<int64_t>(ids_.size()); }
  int64_t largest_id() const { return largest_id_; }

 private:
  struct Merge {
    uint32_t rank;
    uint32_t id;
  };
  struct Symbol;
  struct Candidate;

  void index_bytes(const std::string& unknown, const std::string& place);
  void index_merges(const BpeVocabulary& vocabulary);
  const Merge* find_merge(uint32_t left, uint32_t right) const;

  std::unordered_map<std::string, int64_t> ids_;
  std::unordered_map<uint64_t, Merge> merges_;  // by left id * 2^32 + right id
  std::array<uint32_t, 256> inner_byte_{};      // ids of single bytes within a word
  std::array<uint32_t, 256> last_byte_{};       // and at its end
  int64_t largest_id_ = -1;
};

}  // namespace thalweg
