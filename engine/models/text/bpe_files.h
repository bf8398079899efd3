// The files of a tokenizer folder, as transformers reads them: special tokens of any, the vocabulary of
// CLIP's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/models/text/bpe.h"

namespace thalweg {

struct AddedToken {
  std::string content;
  std::string place;  // the file that names it
  bool special = false;
  std::optional<bool> normalized;      // nothing said: the opposite of `special`
  std::optional<int64_t> declared_id;  // as the file has it

  bool is_normalized() const { return normalized.value_or(!special); }
};

/// The initial values are CLIP's.
struct SpecialTokens {
  std::string bos = "<|startoftext|>", eos = "<|endoftext|>", unknown = "<|endoftext|>",
              pad = "<|endoftext|>";  // an empty bos: the family has none
  std::vector<AddedToken> extra;      // where the files list none of their own
  std::vector<const char*> refused_flags = {"lstrip", "rstrip", "single_word"};  // of an added token
  /// In the order in which they are added; a later token replaces an earlier one of the same content.
  std::vector<AddedToken> added;
  /// Ids of the tokens before and after a text, where a file says them: they must be those of bos and eos.
  std::optional<std::pair<int64_t, int64_t>> frame;
  std::string frame_place;
  int64_t max_length = 77;  // CLIP's context; what model_max_length says where it is given
  std::string place;        // tokenizer_config.json
};

struct TokenizerFiles {
  BpeVocabulary vocabulary;
  SpecialTokens special;
};

/// Where a tokenizer's files come from: a folder, or memory.
struct TokenizerSource {
  std::filesystem::path folder;  // names files in errors
  /// The bytes of the file of this name, or nothing when there is none.
  std::function<std::optional<std::string>(const std::string& name)> file;
};

/// Files of a folder of at most 16 MiB each. Throws Error when there is no such folder; `file` throws what
/// read_file throws.
TokenizerSource tokenizer_folder(const std::filesystem::path& folder);

/// Reads tokenizer.json or, where it is absent, vocab.json and merges.txt; and with either, where present,
/// tokenizer_config.json, special_tokens_map.json and added_tokens.json.
/// Throws Error naming the file: absent, too large, not of the expected form, or asking for what CLIP's
/// tokenizer does not do (another model than BPE, stripping added tokens, padding on the left, ...).
TokenizerFiles read_tokenizer_files(const TokenizerSource& source);

/// Shared by the readers of vocabulary and of special tokens. Keys are sorted: a vocabulary has 50,000.
/// Null when there is no such file.
nlohmann::json read_tokenizer_json(const TokenizerSource& source, const std::string& name);
BpeVocabulary read_vocabulary(const TokenizerSource& source, const nlohmann::json& tokenizer);
/// Fills `added` and what the files change of the family's `defaults`; `frame` is left alone. `tokenizer`:
/// null without tokenizer.json.
SpecialTokens read_special_tokens(const TokenizerSource& source, const nlohmann::json& tokenizer,
                                  SpecialTokens defaults);

}  // namespace thalweg
