#include <map>

#include "engine/models/text/bpe_files.h"
#include "engine/models/text/clip_tokenizer.h"
#include "tests/fuzz/targets.h"

namespace thalweg::fuzz {

void tokenizer(std::string_view input) {
  std::map<std::string, std::string> files;
  for (auto& [name, bytes] : sections(input)) files[name] = std::move(bytes);
  const TokenizerSource source{"folder", [&](const std::string& name) -> std::optional<std::string> {
                                 const auto found = files.find(name);
                                 if (found == files.end()) return std::nullopt;
                                 return found->second;
                               }};
  std::optional<ClipTokenizer> tokenizer;
  if (!accepted([&] { tokenizer = ClipTokenizer::from_files(read_tokenizer_files(source)); })) return;
  for (const std::string& text : {std::string("a red Circle, 2 don't <|endoftext|>"), files["text"]}) {
    std::vector<int64_t> ids;
    if (!accepted([&] { ids = tokenizer->encode_unpadded(text); })) continue;
    require(ids.size() >= 2 && static_cast<int64_t>(ids.size()) <= tokenizer->max_length(),
            "a text has 2 to max_length ids");
    require(ids.front() == tokenizer->bos() && ids.back() == tokenizer->eos(), "a text is framed");
    for (const auto id : ids) require(id >= 0 && id < tokenizer->vocab_size(), "ids are of the vocabulary");
  }
}

}  // namespace thalweg::fuzz
