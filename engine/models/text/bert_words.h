// Words as BERT's uncased tokenizer cuts them before it looks for pieces (Devlin et al. 2018, arXiv
// 1810.04805; BertNormalizer and BertPreTokenizer of the library tokenizers). Where that differs from BERT's
// own code, as it is here: marks, punctuation and format characters of Unicode 9 and later, which it does not
// know, and ideographs from U+2B820 to U+2B91F, which it takes for letters.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace thalweg {

/// Calls `action` for each word and each punctuation mark of `text`, in lower case and without accents, until
/// it returns false. Control and format characters are dropped, CJK ideographs are words by themselves,
/// every character has its lower case by itself (a final sigma stays a sigma). `text` is valid UTF-8 and
/// under 2^31 bytes.
void for_each_bert_word(std::string_view text, const std::function<bool(const std::string&)>& action);

}  // namespace thalweg
