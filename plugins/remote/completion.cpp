#include "completion.h"

#include <cmath>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/core/text.h"

namespace remote {
namespace {

using thalweg::Json;

constexpr std::string_view kThink = "<think>", kThought = "</think>", kBlank = " \t\r\n";
constexpr double kAbsent = -9999.0;
constexpr size_t kMaxTop = 64;

const Json& member(const Json& object, const char* key) {
  if (!object.is_object() || !object.contains(key))
    throw Unreadable(std::string("the answer has no \"") + key + "\"");
  return object.at(key);
}

std::string text_of(const Json& value, const char* what) {
  if (!value.is_string()) throw Unreadable(std::string(what) + " is no text");
  return value.get<std::string>();
}

TokenPlace place_of(const Json& json) {
  TokenPlace place;
  place.token = text_of(member(json, "token"), "a token");
  const auto& top = member(json, "top_logprobs");
  if (!top.is_array() || top.size() > kMaxTop)
    throw Unreadable("\"top_logprobs\" is no list, or a very long one");
  for (const auto& entry : top) {
    const auto& lp = member(entry, "logprob");
    if (!lp.is_number()) throw Unreadable("a \"logprob\" is no number");
    const double value = lp.get<double>();
    // A little above 0 is what some servers' rounding gives.
    if (!std::isfinite(value) || value > 1e-3)
      throw Unreadable("a \"logprob\" is no logarithm of a probability");
    if (value > kAbsent)
      place.top.emplace_back(text_of(member(entry, "token"), "a token"), std::min(value, 0.0));
  }
  return place;
}

std::optional<int64_t> count_of(const Json& usage, const char* key) {
  if (!usage.is_object() || !usage.contains(key)) return std::nullopt;
  const auto& value = usage.at(key);
  if (!value.is_number_integer() || value < 0 || value > int64_t{1} << 40) return std::nullopt;
  return value.get<int64_t>();
}

std::string_view stripped(std::string_view text) {
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

}  // namespace

Completion read_completion(std::string_view body) {
  Json json;
  try {
    json = thalweg::parse_json(body, "");
  } catch (const thalweg::Error& e) {
    throw Unreadable(std::string("the answer is no JSON: ") + e.what());
  }
  const auto& choices = member(json, "choices");
  if (!choices.is_array() || choices.size() != 1) throw Unreadable("the answer has not exactly one choice");
  Completion completion;
  const auto& content = member(member(choices[0], "message"), "content");
  completion.content = content.is_null() ? "" : text_of(content, "\"content\"");
  if (choices[0].contains("logprobs") && choices[0].at("logprobs").is_object()) {
    const auto& places = member(choices[0].at("logprobs"), "content");
    if (places.is_array())
      for (const auto& place : places) completion.places.push_back(place_of(place));
  }
  if (json.contains("usage")) {
    completion.input_tokens = count_of(json.at("usage"), "prompt_tokens");
    completion.output_tokens = count_of(json.at("usage"), "completion_tokens");
  }
  return completion;
}

const TokenPlace* first_place(const Completion& completion) {
  std::string before;  // what a thinking block is looked for in
  bool thinking = false;
  for (const auto& place : completion.places) {
    const bool blank = stripped(place.token).empty();
    before += place.token;
    if (thinking) {
      thinking = before.find(kThought) == std::string::npos;
      continue;
    }
    const auto said = stripped(before);
    if (blank) continue;
    if (said.substr(0, kThink.size()) == kThink && said.find(kThought) == std::string_view::npos) {
      thinking = true;
      continue;
    }
    // "<", "think", ">" may be three tokens.
    if (said.size() < kThink.size() && kThink.substr(0, said.size()) == said) continue;
    return &place;
  }
  return nullptr;
}

std::string_view answer_text(const Completion& completion) {
  auto text = stripped(completion.content);
  if (text.substr(0, kThink.size()) == kThink) {
    const auto end = text.find(kThought);
    if (end == std::string_view::npos) return "";
    text = stripped(text.substr(end + kThought.size()));
  }
  return text;
}

}  // namespace remote
