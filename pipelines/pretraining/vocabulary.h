// A CLIP tokenizer (byte-level BPE) whose merges make every word of a small world one token.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace thalweg {

/// Writes vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json as CLIPTokenizer reads
/// them. `words` are lower-case ASCII. The end token has the last id: the id 2 would mean CLIP's legacy
/// pooling. Returns the vocabulary's size.
int64_t write_word_tokenizer(const std::filesystem::path& folder, const std::vector<std::string>& words,
                             int64_t max_length);

}  // namespace thalweg
