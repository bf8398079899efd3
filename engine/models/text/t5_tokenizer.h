// T5's tokenizer: text to ids, equal to T5Tokenizer of transformers 5.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

namespace thalweg {

/// Immutable and cheap to copy; one object serves several threads.
class T5Tokenizer {
 public:
  /// From a folder with tokenizer.json, or spiece.model (read_t5_tokenizer_files). Throws Error naming the
  /// file.
  static T5Tokenizer load(const std::filesystem::path& folder);

  /// The text, eos, then pad up to `length` (at least 1): always `length` ids. What is too long loses its
  /// end, never eos. Throws Error when `utf8` is not UTF-8 or holds over 16 MiB.
  std::vector<int64_t> encode(std::string_view utf8, int64_t length) const;

  /// All of the text and eos, without padding.
  std::vector<int64_t> encode_whole(std::string_view utf8) const;

  int64_t eos() const;
  int64_t pad() const;
  /// One more than the largest id: rows that the embedding needs.
  int64_t vocab_size() const;

 private:
  struct State;
  explicit T5Tokenizer(std::shared_ptr<const State> state);

  std::shared_ptr<const State> state_;
};

}  // namespace thalweg
