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

WordTokenizer clip_word_tokenizer(const std::vector<std::string>& words, int64_t max_length) {
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
  return {next,
          {{"vocab.json", vocabulary.dump()},
           {"merges.txt", merge_lines},
           {"tokenizer_config.json", config.dump(2) + "\n"},
           {"special_tokens_map.json", special.dump(2) + "\n"}}};
}

WordTokenizer t5_word_tokenizer(const std::vector<std::string>& words, int64_t max_length) {
  const std::string marker = "\u2581";  // where a word begins
  const std::vector<std::string> special = {"<pad>", "</s>", "<unk>"};
  Json pieces = Json::array(), added = Json::array();
  for (const auto& token : special) {
    added.push_back({{"id", pieces.size()},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
    pieces.push_back({token, 0.0});
  }
  // A word costs less than its letters do, so it is never cut.
  constexpr double kWord = -1.0, kLetter = -10.0;
  for (const auto& word : words) pieces.push_back({marker + word, kWord});
  pieces.push_back({marker, kLetter});
  for (char c = '!'; c <= '~'; ++c) pieces.push_back({std::string(1, c), kLetter});
  const Json metaspace = {
      {"type", "Metaspace"}, {"replacement", marker}, {"prepend_scheme", "always"}, {"split", true}};
  const Json end = {{"SpecialToken", {{"id", special[1]}, {"type_id", 0}}}};
  const auto text = [](const char* id) { return Json{{"Sequence", {{"id", id}, {"type_id", 0}}}}; };
  const Json tokenizer = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer",
       {{"type", "Sequence"}, {"pretokenizers", {{{"type", "WhitespaceSplit"}}, metaspace}}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", {text("A"), end}},
        {"pair", {text("A"), end, text("B"), end}},
        {"special_tokens", {{special[1], {{"id", special[1]}, {"ids", {1}}, {"tokens", {special[1]}}}}}}}},
      {"decoder", metaspace},
      {"model", {{"type", "Unigram"}, {"unk_id", 2}, {"vocab", pieces}, {"byte_fallback", false}}}};
  const Json config = {{"tokenizer_class", "T5Tokenizer"}, {"extra_ids", 0},
                       {"eos_token", special[1]},          {"pad_token", special[0]},
                       {"unk_token", special[2]},          {"model_max_length", max_length}};
  return {static_cast<int64_t>(pieces.size()),
          {{"tokenizer.json", tokenizer.dump(1) + "\n"}, {"tokenizer_config.json", config.dump(2) + "\n"}}};
}

}  // namespace thalweg
