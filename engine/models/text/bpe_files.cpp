#include "engine/models/text/bpe_files.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/models/text/bpe_fields.h"

namespace thalweg {
namespace {

using nlohmann::json;

constexpr size_t kMaxFileBytes = size_t{16} << 20;  // 5 times CLIP's own

std::unordered_map<std::string, int64_t> read_ids(const json& vocab, const std::string& place) {
  if (!vocab.is_object() || vocab.empty())
    throw Error(place, "the vocabulary must be an object of token: id, and not empty");
  std::unordered_map<std::string, int64_t> ids;
  ids.reserve(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    // Unsigned values over 2^63 would turn negative, which Bpe refuses.
    if (!id.is_number_integer())
      throw Error(place, "the id of the token \"" + token + "\" is not an integer");
    ids.emplace(token, id.get<int64_t>());
  }
  return ids;
}

std::pair<std::string, std::string> split_merge(const std::string& line, size_t number,
                                                const std::string& place) {
  const auto blank = line.find(' ');
  if (blank == std::string::npos || blank == 0 || blank + 1 == line.size() ||
      line.find(' ', blank + 1) != std::string::npos)
    throw Error(place, "merge " + std::to_string(number) + " is not two tokens with one blank between them");
  return {line.substr(0, blank), line.substr(blank + 1)};
}

std::vector<std::pair<std::string, std::string>> read_merges_text(const std::string& text,
                                                                  const std::string& place) {
  std::vector<std::pair<std::string, std::string>> merges;
  for (size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    auto line = text.substr(begin, end - begin);
    begin = end + 1;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with("#version")) continue;
    merges.push_back(split_merge(line, merges.size() + 1, place));
  }
  return merges;
}

std::vector<std::pair<std::string, std::string>> read_merges_json(const json& list,
                                                                  const std::string& place) {
  if (!list.is_array()) throw Error(place, "model.merges must be a list");
  std::vector<std::pair<std::string, std::string>> merges;
  merges.reserve(list.size());
  for (const auto& merge : list) {
    if (merge.is_string()) {
      merges.push_back(split_merge(merge.get<std::string>(), merges.size() + 1, place));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
    } else {
      throw Error(place, "merge " + std::to_string(merges.size() + 1) + " is not a pair of tokens");
    }
  }
  return merges;
}

void require_clip_model(const json& model, const std::string& place) {
  if (!model.is_object()) throw Error(place, "has no object \"model\"");
  if (model.value("type", json("BPE")) != "BPE")
    throw Error(place, "its model is not BPE: this is not a CLIP tokenizer");
  const auto suffix = model.find("end_of_word_suffix");
  if (suffix != model.end() && *suffix != "</w>")
    throw Error(place, "model.end_of_word_suffix is not \"</w>\": this is not a CLIP tokenizer");
}

// Told by tokenizer.json where there is one, and only otherwise by the configuration.
void read_frame_of(const TokenizerSource& source, const json& tokenizer, SpecialTokens& special) {
  if (!tokenizer.is_null()) {
    special.frame_place = (source.folder / "tokenizer.json").string();
    special.frame = read_frame(member(tokenizer, "post_processor"), special.frame_place);
    return;
  }
  const auto config = read_tokenizer_json(source, "tokenizer_config.json");
  if (!config.is_null()) require_frame(config, special.place);
}

}  // namespace

TokenizerSource tokenizer_folder(const std::filesystem::path& folder) {
  std::error_code ec;
  if (!std::filesystem::is_directory(folder, ec))
    throw Error(folder.string(),
                "no such folder; a tokenizer is a folder with tokenizer.json, or vocab.json and merges.txt");
  return {folder, [folder](const std::string& name) -> std::optional<std::string> {
            std::error_code absent;
            // Of the link, not what it leads to: a broken one is an error, not an absent file.
            if (!std::filesystem::exists(std::filesystem::symlink_status(folder / name, absent)))
              return std::nullopt;
            return read_file(folder / name, kMaxFileBytes);
          }};
}

json read_tokenizer_json(const TokenizerSource& source, const std::string& name) {
  const auto text = source.file(name);
  if (!text) return nullptr;
  const auto place = (source.folder / name).string();
  auto value = parse_sorted_json(*text, place);
  if (!value.is_object()) throw Error(place, "must hold a JSON object");
  return value;
}

BpeVocabulary read_vocabulary(const TokenizerSource& source, const json& tokenizer) {
  BpeVocabulary vocabulary;
  if (!tokenizer.is_null()) {
    const auto place = (source.folder / "tokenizer.json").string();
    const auto& model = member(tokenizer, "model");
    require_clip_model(model, place);
    vocabulary.ids_place = vocabulary.merges_place = place;
    vocabulary.ids = read_ids(member(model, "vocab"), place);
    vocabulary.merges = read_merges_json(member(model, "merges"), place);
    return vocabulary;
  }
  vocabulary.ids_place = (source.folder / "vocab.json").string();
  vocabulary.merges_place = (source.folder / "merges.txt").string();
  const auto ids = read_tokenizer_json(source, "vocab.json");
  if (ids.is_null()) throw Error(vocabulary.ids_place, "no such file");
  vocabulary.ids = read_ids(ids, vocabulary.ids_place);
  const auto merges = source.file("merges.txt");
  if (!merges) throw Error(vocabulary.merges_place, "no such file");
  vocabulary.merges = read_merges_text(*merges, vocabulary.merges_place);
  return vocabulary;
}

TokenizerFiles read_tokenizer_files(const TokenizerSource& source) {
  const auto tokenizer = read_tokenizer_json(source, "tokenizer.json");
  TokenizerFiles files{read_vocabulary(source, tokenizer), read_special_tokens(source, tokenizer, {})};
  read_frame_of(source, tokenizer, files.special);
  return files;
}

}  // namespace thalweg
