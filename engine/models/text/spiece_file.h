// spiece.model: SentencePiece's model as a protocol buffer (sentencepiece_model.proto of
// https://github.com/google/sentencepiece), of which a tokenizer needs pieces, their types and the rules of
// normalisation.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/models/text/unigram.h"

namespace thalweg {

struct SentencePieceFile {
  enum Type : uint64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4 };

  std::vector<UnigramPiece> pieces;
  std::vector<uint64_t> types;  // of each piece
  std::string charsmap;         // precompiled_charsmap; empty: no normalisation
};

/// Throws Error naming the file: absent, over 16 MiB, not such a protocol buffer, or not a unigram model.
SentencePieceFile read_spiece_file(const std::filesystem::path& path);

}  // namespace thalweg
