// Tokenizers that make every word of a small world one token.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace thalweg {

struct WordTokenizer {
  int64_t size = 0;                          // of the vocabulary
  std::map<std::string, std::string> files;  // name -> content
};

/// As CLIPTokenizer reads it (byte-level BPE): vocab.json, merges.txt, tokenizer_config.json and
/// special_tokens_map.json. `words` are lower-case ASCII. The end token has the last id: the id 2 would mean
/// CLIP's legacy pooling.
WordTokenizer clip_word_tokenizer(const std::vector<std::string>& words, int64_t max_length);

/// As T5's tokenizer reads it (unigram): tokenizer.json and tokenizer_config.json. Letters and other words
/// are had by the piece; what is not ASCII is unknown.
WordTokenizer t5_word_tokenizer(const std::vector<std::string>& words, int64_t max_length);

}  // namespace thalweg
