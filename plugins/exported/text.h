// Prompts as the token ids that a network was exported with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "description.h"

namespace exported {

/// L ids, and 1 for each that is not padding.
struct Tokens {
  std::vector<int64_t> ids, mask;
};

/// Text to tokens. Throws thalweg::Error for text that is not UTF-8.
using Tokenizer = std::function<Tokens(const std::string&)>;

/// That of folder/tokenizer. Throws thalweg::Error with the file for one that does not give what `spec` says.
Tokenizer load_tokenizer(const std::filesystem::path& folder, const TokenizerSpec& spec);

}  // namespace exported
