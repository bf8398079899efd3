#include "engine/models/text/bpe_files.h"

#include <set>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/models/text/bpe_fields.h"

namespace thalweg {
namespace {

using nlohmann::json;

constexpr size_t kMaxFileBytes = size_t{64} << 20;

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

std::vector<std::pair<std::string, std::string>> read_merges_text(const std::filesystem::path& path) {
  const auto text = read_file(path, kMaxFileBytes);
  std::vector<std::pair<std::string, std::string>> merges;
  for (size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    auto line = text.substr(begin, end - begin);
    begin = end + 1;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with("#version")) continue;
    merges.push_back(split_merge(line, merges.size() + 1, path.string()));
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
void read_frame_of(const std::filesystem::path& folder, const json* tokenizer, SpecialTokens& special) {
  std::error_code ec;
  if (tokenizer) {
    special.frame_place = (folder / "tokenizer.json").string();
    special.frame = read_frame(member(*tokenizer, "post_processor"), special.frame_place);
  } else if (std::filesystem::exists(special.place, ec)) {
    require_frame(read_tokenizer_json(special.place), special.place);
  }
}

}  // namespace

json read_tokenizer_json(const std::filesystem::path& path) {
  const auto text = read_file(path, kMaxFileBytes);
  std::vector<std::set<std::string>> keys_by_depth;
  const auto guard = [&](int depth, json::parse_event_t event, json& parsed) {
    const auto level = static_cast<size_t>(depth);
    if (level > kMaxJsonDepth) throw Error(path.string(), "is nested too deep");
    if (event == json::parse_event_t::object_start) {
      keys_by_depth.resize(level + 1);
      keys_by_depth.back().clear();
    } else if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys_by_depth.at(level - 1).insert(key).second)
        throw Error(path.string(), "the key \"" + key + "\" is given twice");
    }
    return true;
  };
  try {
    auto value = json::parse(text, guard);
    if (!value.is_object()) throw Error(path.string(), "must hold a JSON object");
    return value;
  } catch (const json::exception& e) {
    throw Error(path.string(), std::string("not valid JSON: ") + e.what());
  }
}

BpeVocabulary read_vocabulary(const std::filesystem::path& folder, const json* tokenizer) {
  BpeVocabulary vocabulary;
  if (tokenizer) {
    const auto place = (folder / "tokenizer.json").string();
    const auto& model = member(*tokenizer, "model");
    require_clip_model(model, place);
    vocabulary.ids_place = vocabulary.merges_place = place;
    vocabulary.ids = read_ids(member(model, "vocab"), place);
    vocabulary.merges = read_merges_json(member(model, "merges"), place);
    return vocabulary;
  }
  const auto vocab_path = folder / "vocab.json", merges_path = folder / "merges.txt";
  vocabulary.ids_place = vocab_path.string();
  vocabulary.merges_place = merges_path.string();
  vocabulary.ids = read_ids(read_tokenizer_json(vocab_path), vocabulary.ids_place);
  vocabulary.merges = read_merges_text(merges_path);
  return vocabulary;
}

TokenizerFiles read_tokenizer_files(const std::filesystem::path& folder) {
  std::error_code ec;
  if (!std::filesystem::is_directory(folder, ec))
    throw Error(folder.string(),
                "no such folder; a tokenizer is a folder with tokenizer.json, or vocab.json and merges.txt");
  const auto path = folder / "tokenizer.json";
  std::optional<json> tokenizer;
  if (std::filesystem::exists(path, ec)) tokenizer = read_tokenizer_json(path);
  const json* parsed = tokenizer ? &*tokenizer : nullptr;
  TokenizerFiles files{read_vocabulary(folder, parsed), read_special_tokens(folder, parsed, {})};
  read_frame_of(folder, parsed, files.special);
  return files;
}

}  // namespace thalweg
