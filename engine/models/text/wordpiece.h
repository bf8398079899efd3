// BERT's uncased tokenizer: text to ids, equal to BertTokenizer of transformers with its defaults (Devlin et
// al. 2018, arXiv 1810.04805) but for the characters that bert_words.h names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

namespace thalweg {

/// Immutable and cheap to copy; one object serves several threads.
class WordPiece {
 public:
  /// From a vocab.txt: a piece a line, its id the number of the line from 0 on; pieces that do not begin a
  /// word start with "##". It must hold [UNK], [CLS] and [SEP]; these, and where it holds them [PAD], [MASK]
  /// and BLIP's [DEC] and [ENC], are found in a text as they stand. Throws Error naming the file when it is
  /// absent, larger than 64 MiB, not UTF-8, without one of those three, or holds a piece twice.
  static WordPiece load(const std::filesystem::path& vocabulary);

  /// [CLS], the text, [SEP]: 2 to `max_length` ids. What is too long loses its end, never [SEP]. max_length
  /// is at least 2. Throws Error when `utf8` is not UTF-8 or holds over 16 MiB.
  std::vector<int64_t> encode(std::string_view utf8, int64_t max_length) const;

  /// Pieces of the vocabulary: rows that the embedding needs.
  int64_t vocab_size() const;

 private:
  struct State;
  explicit WordPiece(std::shared_ptr<const State> state);

  std::shared_ptr<const State> state_;
};

}  // namespace thalweg
