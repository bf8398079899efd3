#include "pipelines/pretraining/vocabulary.h"

#include <algorithm>
#include <map>

#include "engine/core/json.h"
#include "engine/models/text/bpe.h"

namespace thalweg {
namespace {

using Pair = std::pair<std::string, std::string>;

// The 256 bytes in the order of OpenAI's byte-level vocabulary: by code point, so that those which stand for
// themselves come first.
std::array<std::string, 256> ordered_bytes() {
  auto names = byte_alphabet();
  std::sort(names.begin(), names.end());  // UTF-8 sorts as its code points do
  return names;
}

std::vector<std::string> merged(const std::vector<std::string>& pieces, const Pair& pair) {
  std::vector<std::string> result;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const bool hit = i + 1 < pieces.size() && pieces[i] == pair.first && pieces[i + 1] == pair.second;
    result.push_back(hit ? pieces[i] + pieces[i + 1] : pieces[i]);
    if (hit) ++i;
  }
  return result;
}

// Byte-pair encoding until every word is one piece; the most frequent pair first, ties by text.
std::vector<Pair> learn_merges(const std::vector<std::string>& words) {
  std::vector<std::vector<std::string>> pieces_of_word;
  for (const auto& word : words) {
    std::vector<std::string> pieces;
    for (const char c : word) pieces.emplace_back(1, c);
    pieces.back() += "</w>";
    pieces_of_word.push_back(std::move(pieces));
  }
  std::vector<Pair> merges;
  while (true) {
    std::map<Pair, int> count;
    for (const auto& pieces : pieces_of_word)
      for (size_t i = 0; i + 1 < pieces.size(); ++i) ++count[{pieces[i], pieces[i + 1]}];
    if (count.empty()) return merges;
    auto best = count.begin();
    for (auto it = count.begin(); it != count.end(); ++it)
      if (it->second > best->second) best = it;
    merges.push_back(best->first);
    for (auto& pieces : pieces_of_word) pieces = merged(pieces, best->first);
  }
}

}  // namespace

int64_t write_word_tokenizer(const std::filesystem::path& folder, const std::vector<std::string>& words,
                             int64_t max_length) {
  Json vocabulary = Json::object();
  int64_t next = 0;
  for (const auto& character : ordered_bytes()) vocabulary[character] = next++;
  for (const auto& character : ordered_bytes()) vocabulary[character + "</w>"] = next++;
  std::string merge_lines = "#version: 0.2\n";
  for (const auto& [left, right] : learn_merges(words)) {
    merge_lines += left + " " + right + "\n";
    vocabulary[left + right] = next++;
  }
  const std::string begin = "<|startoftext|>", end = "<|endoftext|>";
  vocabulary[begin] = next++;
  vocabulary[end] = next++;
  const Json special = {{"bos_token", begin}, {"eos_token", end}, {"pad_token", end}, {"unk_token", end}};
  Json config = special;
  config["model_max_length"] = max_length;
  config["tokenizer_class"] = "CLIPTokenizer";
  std::filesystem::create_directories(folder);
  write_file(folder / "vocab.json", vocabulary.dump());
  write_file(folder / "merges.txt", merge_lines);
  write_file(folder / "tokenizer_config.json", config.dump(2) + "\n");
  write_file(folder / "special_tokens_map.json", special.dump(2) + "\n");
  return next;
}

}  // namespace thalweg
