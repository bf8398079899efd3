#include "engine/models/text/bpe_fields.h"

#include "engine/core/error.h"

namespace thalweg {
namespace {

using nlohmann::json;

// From here on transformers takes model_max_length for "not set".
constexpr double kUnsetLength = 1e20;
constexpr int64_t kMaxLength = 1'000'000;

}  // namespace

const json& member(const json& object, const char* key) {
  static const json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

void refuse_true(const json& object, const char* key, const std::string& place) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null() || *found == false) return;
  throw Error(place,
              std::string("\"") + key + "\" is set, which this tokenizer does not do; it must be false");
}

void refuse_other(const json& object, const char* key, const char* wanted, const std::string& place) {
  const auto found = object.find(key);
  if (found != object.end() && *found != wanted)
    throw Error(place, std::string("\"") + key + "\" must be \"" + wanted + "\" here");
}

AddedToken read_token(const json& value, const std::string& name, const std::string& place,
                      const std::vector<const char*>& refused_flags) {
  AddedToken token;
  token.place = place;
  if (value.is_string()) {
    token.content = value.get<std::string>();
    token.special = true;
  } else if (value.is_object() && value.contains("content") && value["content"].is_string()) {
    token.content = value["content"].get<std::string>();
    for (const char* flag : refused_flags) refuse_true(value, flag, place);
    for (const char* flag : {"special", "normalized"}) {
      if (value.contains(flag) && !value[flag].is_boolean())
        throw Error(place, "\"" + std::string(flag) + "\" of " + name + " must be true or false");
    }
    token.special = value.value("special", false);
    if (value.contains("normalized")) token.normalized = value["normalized"].get<bool>();
  } else {
    throw Error(place, name + " must be a token: a text or an object with \"content\"");
  }
  if (token.content.empty()) throw Error(place, name + " must not be empty");
  return token;
}

int64_t read_id(const json& value, const std::string& token, const std::string& place) {
  if (value.is_number_integer() && value >= 0 && value <= INT32_MAX) return value.get<int64_t>();
  throw Error(place, "the id of the token \"" + token + "\" must be an integer in 0 .. 2147483647");
}

int64_t read_max_length(const json& config, const std::string& place, int64_t unset) {
  const auto key = config.contains("model_max_length") ? "model_max_length" : "max_len";
  if (!config.contains(key) || config[key].is_null()) return unset;
  const auto& value = config[key];
  if (value.is_number() && value.get<double>() >= kUnsetLength) return unset;
  if (value.is_number_integer() && value >= 2 && value <= kMaxLength) return value.get<int64_t>();
  throw Error(place, std::string(key) + " must be an integer in 2 .. " + std::to_string(kMaxLength));
}

void require_frame(const json& config, const std::string& place) {
  const bool bos = config.contains("add_bos_token"), eos = config.contains("add_eos_token");
  if (!bos && !eos) return;
  if (bos && eos && config["add_bos_token"] == true && config["add_eos_token"] == true) return;
  throw Error(place, "\"add_bos_token\" and \"add_eos_token\" must both be true or both be absent for CLIP");
}

std::optional<std::pair<int64_t, int64_t>> read_frame(const json& processor, const std::string& place) {
  if (processor.is_null()) return std::nullopt;
  try {
    if (processor.at("type") == "RobertaProcessing")
      return std::pair{processor.at("cls").at(1).get<int64_t>(), processor.at("sep").at(1).get<int64_t>()};
    const auto& pieces = processor.at("single");
    const auto& tokens = processor.at("special_tokens");
    const auto id = [&](const json& piece) {
      return tokens.at(piece.at("SpecialToken").at("id").get<std::string>()).at("ids").at(0).get<int64_t>();
    };
    if (processor.at("type") == "TemplateProcessing" && pieces.size() == 3 &&
        pieces.at(1).contains("Sequence"))
      return std::pair{id(pieces.at(0)), id(pieces.at(2))};
  } catch (const json::exception&) {
    // Said below, in words that name the remedy.
  }
  throw Error(place,
              "post_processor must put one token before and one after the text (RobertaProcessing, or "
              "TemplateProcessing of that form)");
}

}  // namespace thalweg
