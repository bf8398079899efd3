// CLIP's tokenizer: text to ids, equal to CLIPTokenizer of transformers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

namespace thalweg {

struct TokenizerFiles;

/// Immutable and cheap to copy; one object serves several threads.
class ClipTokenizer {
 public:
  /// From a folder with tokenizer.json, or vocab.json and merges.txt; tokenizer_config.json,
  /// special_tokens_map.json and added_tokens.json are read where present. Throws Error naming the file.
  static ClipTokenizer load(const std::filesystem::path& folder);
  /// From what a folder's files say (bpe_files.h).
  static ClipTokenizer from_files(TokenizerFiles files);

  /// bos, the text, eos, then pad up to max_length(): always max_length() ids. What is too long loses its
  /// end, never eos. Throws Error when `utf8` is not UTF-8 or holds over 16 MiB.
  std::vector<int64_t> encode(std::string_view utf8) const;

  /// The same without the padding: 2 to max_length() ids.
  std::vector<int64_t> encode_unpadded(std::string_view utf8) const;

  /// bos, all of the text and eos: what encode() cuts above max_length().
  int64_t whole_length(std::string_view utf8) const;

  /// model_max_length of the folder; CLIP's 77 where it sets none.
  int64_t max_length() const;
  int64_t bos() const;
  int64_t eos() const;
  int64_t pad() const;
  /// One more than the largest id: rows that the embedding needs.
  int64_t vocab_size() const;

 private:
  /// bos and the text.
  std::vector<int64_t> begun(std::string_view utf8) const;

  struct State;
  explicit ClipTokenizer(std::shared_ptr<const State> state);

  std::shared_ptr<const State> state_;
};

}  // namespace thalweg
