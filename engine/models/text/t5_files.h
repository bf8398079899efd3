// The files of a T5 tokenizer folder, as transformers' T5Tokenizer reads them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/models/text/bpe_files.h"
#include "engine/models/text/unigram.h"

namespace thalweg {

struct T5TokenizerFiles {
  std::vector<UnigramPiece> pieces;  // the vocabulary by id, <extra_id_N> included
  std::string charsmap;              // rules of normalisation, as SentencePiece compiles them
  SpecialTokens special;
  std::string place;  // the file of the pieces
};

/// Reads tokenizer.json or, where it is absent, spiece.model; and with either, where present,
/// tokenizer_config.json, special_tokens_map.json and added_tokens.json. Of tokenizer.json the vocabulary,
/// the compiled normaliser and the added tokens count, as in transformers 5: T5's way of cutting words and
/// its end token are fixed. Throws Error naming the file.
T5TokenizerFiles read_t5_tokenizer_files(const std::filesystem::path& folder);

}  // namespace thalweg
