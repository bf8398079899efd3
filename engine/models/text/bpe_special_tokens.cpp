// Which special tokens a folder asks for, in the order of precedence of transformers: added_tokens_decoder of
// tokenizer_config.json shuts out the older files; tokenizer.json comes after them.
#include <algorithm>
#include <map>
#include <set>

#include "engine/core/error.h"
#include "engine/models/text/bpe_fields.h"
#include "engine/models/text/bpe_files.h"

namespace thalweg {
namespace {

using nlohmann::json;

// The order in which the peer adds them.
constexpr const char* kNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};

class SpecialTokenReader {
 public:
  SpecialTokenReader(const TokenizerSource& source, const json& tokenizer, SpecialTokens defaults)
      : source_(source), tokenizer_(tokenizer), result_(std::move(defaults)), extra_(result_.extra) {}

  SpecialTokens read() {
    result_.place = place_of("tokenizer_config.json");
    json config = read_tokenizer_json(source_, "tokenizer_config.json");
    if (config.is_null()) config = json::object();
    read_named(config, result_.place, false);
    result_.max_length = read_max_length(config, result_.place, result_.max_length);
    refuse_true(config, "split_special_tokens", result_.place);
    refuse_other(config, "padding_side", "right", result_.place);
    refuse_other(config, "truncation_side", "right", result_.place);
    if (config.contains("added_tokens_decoder")) {
      read_decoder(config["added_tokens_decoder"], result_.place);
    } else {
      read_older_files();
    }
    finish();
    return std::move(result_);
  }

 private:
  std::string place_of(const char* name) const { return (source_.folder / name).string(); }

  void read_named(const json& object, const std::string& place, bool special) {
    for (const char* name : kNames) {
      const auto found = object.find(name);
      const bool optional = std::string_view(name) == "sep_token" || std::string_view(name) == "cls_token" ||
                            std::string_view(name) == "mask_token" ||
                            (std::string_view(name) == "bos_token" && result_.bos.empty());
      if (found == object.end() || (optional && found->is_null())) continue;
      auto token = read_token(*found, name, place, result_.refused_flags);
      token.special = token.special || special;
      named_[name] = token;
    }
    for (const char* name : {"additional_special_tokens", "extra_special_tokens"}) {
      const auto found = object.find(name);
      if (found == object.end() || found->is_null() || found->empty()) continue;
      if (!found->is_array()) throw Error(place, std::string(name) + " must be a list of tokens");
      extra_.clear();
      for (const auto& token : *found)
        extra_.push_back(read_token(token, name, place, result_.refused_flags));
    }
  }

  void read_decoder(const json& decoder, const std::string& place) {
    if (!decoder.is_object()) throw Error(place, "added_tokens_decoder must be an object of id: token");
    for (const auto& [key, value] : decoder.items()) {
      if (key.empty() || key.size() > 10 || key.find_first_not_of("0123456789") != std::string::npos)
        throw Error(place, "added_tokens_decoder has the key \"" + key + "\", which is not an id");
      if (!value.is_object())
        throw Error(place, "added_tokens_decoder: the token of id " + key + " must be an object");
      declare(std::stoll(key), read_token(value, "the added token " + key, place, result_.refused_flags));
    }
  }

  void read_older_files() {
    const auto map = read_tokenizer_json(source_, "special_tokens_map.json");
    if (!map.is_null()) read_named(map, place_of("special_tokens_map.json"), true);

    const auto place = place_of("added_tokens.json");
    const auto added = read_tokenizer_json(source_, "added_tokens.json");
    for (const auto& [content, id] : added.items()) {
      auto token = read_token(content, "a token", place, result_.refused_flags);
      token.special = is_special(content);
      token.normalized = !token.special;
      declare(read_id(id, content, place), token);
    }
    if (tokenizer_.contains("added_tokens"))
      read_added(tokenizer_["added_tokens"], place_of("tokenizer.json"));
  }

  void read_added(const json& added, const std::string& place) {
    if (!added.is_array()) throw Error(place, "added_tokens must be a list");
    for (const auto& value : added) {
      if (!value.is_object()) throw Error(place, "added_tokens must be a list of objects");
      auto token = read_token(value, "an added token", place, result_.refused_flags);
      declare(read_id(member(value, "id"), token.content, place), token);
    }
  }

  bool is_special(const std::string& content) const {
    const auto same = [&](const AddedToken& token) { return token.content == content; };
    return std::any_of(named_.begin(), named_.end(), [&](const auto& entry) { return same(entry.second); }) ||
           std::any_of(extra_.begin(), extra_.end(), same);
  }

  void declare(int64_t id, AddedToken token) {
    token.declared_id = id;
    declared_[id] = std::move(token);
  }

  void finish() {
    const auto name_into = [&](const char* name, std::string& content) {
      const auto found = named_.find(name);
      if (found != named_.end()) {
        content = found->second.content;
      } else if (!content.empty()) {
        // A token that only the defaults name is added like one written as text.
        named_[name] = AddedToken{content, result_.place, true, std::nullopt, std::nullopt};
      }
    };
    name_into("bos_token", result_.bos);
    name_into("eos_token", result_.eos);
    name_into("unk_token", result_.unknown);
    name_into("pad_token", result_.pad);

    std::set<std::string> contents;
    std::set<std::string> named_contents;
    for (const auto& [name, token] : named_) named_contents.insert(token.content);
    for (auto& [id, token] : declared_) {
      token.special = token.special || named_contents.count(token.content);
      contents.insert(token.content);
      result_.added.push_back(token);
    }
    const auto add = [&](AddedToken token) {
      token.special = token.special || named_contents.count(token.content);
      if (!contents.count(token.content)) result_.added.push_back(std::move(token));
    };
    for (const char* name : kNames) {
      if (named_.count(name)) add(named_[name]);
    }
    for (const auto& token : extra_) add(token);
  }

  const TokenizerSource& source_;
  const json& tokenizer_;  // null without tokenizer.json
  SpecialTokens result_;
  std::map<std::string, AddedToken> named_;
  std::vector<AddedToken> extra_;
  std::map<int64_t, AddedToken> declared_;
};

}  // namespace

SpecialTokens read_special_tokens(const TokenizerSource& source, const json& tokenizer,
                                  SpecialTokens defaults) {
  return SpecialTokenReader(source, tokenizer, std::move(defaults)).read();
}

}  // namespace thalweg
