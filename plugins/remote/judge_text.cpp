// Scores that the answer's text says: a number that a pattern finds, or the fields of a JSON object.
#include <unicode/uregex.h>
#include <unicode/ustring.h>

#include <charconv>
#include <cmath>
#include <memory>

#include "engine/core/error.h"
#include "judge.h"

namespace remote {
namespace {

using thalweg::Error;
using thalweg::Json;

constexpr size_t kMaxText = 64 << 10;
// A pattern that backtracks without end is stopped: units of ICU's engine, about milliseconds, and bytes.
constexpr int32_t kTimeLimit = 500, kStackLimit = 8 << 20;

std::string_view text_of(const Completion& completion) {
  const auto text = answer_text(completion);
  if (text.empty()) throw Unreadable("the answer is empty");
  if (text.size() > kMaxText) throw Unreadable("the answer is longer than 64 KiB");
  return text;
}

double checked(double value, double low, double high, const std::string& what) {
  if (!std::isfinite(value) || value < low || value > high) throw Unreadable(what + " is out of its bounds");
  return value;
}

struct CloseRegex {
  void operator()(URegularExpression* regex) const { uregex_close(regex); }
};
using RegexHandle = std::unique_ptr<URegularExpression, CloseRegex>;

std::u16string utf16_of(std::string_view text) {
  std::u16string wide(text.size(), u'\0');  // never more units than bytes
  UErrorCode code = U_ZERO_ERROR;
  int32_t length = 0;
  u_strFromUTF8(wide.data(), static_cast<int32_t>(wide.size()), &length, text.data(),
                static_cast<int32_t>(text.size()), &code);
  if (U_FAILURE(code)) throw Unreadable("the answer is no UTF-8 text");
  wide.resize(static_cast<size_t>(length));
  return wide;
}

class Regex final : public Judge {
 public:
  explicit Regex(const RegexOptions& options) : options_(options) {
    UErrorCode code = U_ZERO_ERROR;
    UParseError where{};
    const auto pattern = utf16_of(options.pattern);
    regex_.reset(uregex_open(pattern.data(), static_cast<int32_t>(pattern.size()), 0, &where, &code));
    if (U_FAILURE(code) || regex_ == nullptr)
      throw Error("/pattern", std::string("is no regular expression: ") + u_errorName(code) +
                                  " at character " + std::to_string(where.offset));
    if (uregex_groupCount(regex_.get(), &code) != 1)
      throw Error("/pattern",
                  "must have one group in parentheses, which captures the number; (?:...) is none");
  }

  std::vector<std::string> dimensions() const override { return {"score"}; }

  std::vector<double> read(const Completion& completion) const override {
    const auto text = utf16_of(text_of(completion));
    UErrorCode code = U_ZERO_ERROR;
    const RegexHandle search(uregex_clone(regex_.get(), &code));  // a search has a state
    uregex_setTimeLimit(search.get(), kTimeLimit, &code);
    uregex_setStackLimit(search.get(), kStackLimit, &code);
    uregex_setText(search.get(), text.data(), static_cast<int32_t>(text.size()), &code);
    if (!uregex_findNext(search.get(), &code) && U_SUCCESS(code))
      throw Unreadable("the pattern is not in the answer");
    const auto number = captured(search.get(), text, code);
    if (uregex_findNext(search.get(), &code) && U_SUCCESS(code))
      throw Unreadable("the pattern is in the answer more than once");
    if (U_FAILURE(code))
      throw Unreadable(std::string("the pattern cannot be searched for: ") + u_errorName(code));
    return {checked(number, options_.low, options_.high, "the score")};
  }

 private:
  static double captured(URegularExpression* search, const std::u16string& text, UErrorCode& code) {
    const auto begin = uregex_start(search, 1, &code), end = uregex_end(search, 1, &code);
    if (U_FAILURE(code) || begin < 0) return std::nan("");
    std::string digits;
    for (auto i = begin; i < end; ++i)
      digits += text[static_cast<size_t>(i)] < 128 ? static_cast<char>(text[static_cast<size_t>(i)]) : '?';
    double number = 0;
    const auto* last = digits.data() + digits.size();
    const auto [stop, failure] = std::from_chars(digits.data(), last, number);
    if (failure != std::errc{} || stop != last) throw Unreadable("what the pattern captures is no number");
    return number;
  }

  RegexOptions options_;
  RegexHandle regex_;
};

class JsonJudge final : public Judge {
 public:
  explicit JsonJudge(const JsonOptions& options) : options_(options) {}

  std::vector<std::string> dimensions() const override {
    std::vector<std::string> names;
    for (const auto& field : options_.fields) names.push_back(field.name);
    return names;
  }

  Json response_format() const override {
    Json properties = Json::object(), required = Json::array();
    for (const auto& field : options_.fields) {
      properties[field.name] = {{"type", "number"}, {"minimum", field.low}, {"maximum", field.high}};
      required.push_back(field.name);
    }
    const Json schema = {{"type", "object"},
                         {"properties", properties},
                         {"required", required},
                         {"additionalProperties", false}};
    return {{"type", "json_schema"},
            {"json_schema", {{"name", "scores"}, {"strict", true}, {"schema", schema}}}};
  }

  std::vector<double> read(const Completion& completion) const override {
    Json json;
    try {
      json = thalweg::parse_json(text_of(completion), "");
    } catch (const Error&) {
      throw Unreadable("the answer's text is no JSON");
    }
    if (!json.is_object() || json.size() != options_.fields.size())
      throw Unreadable("the answer's text is no object of exactly the fields");
    std::vector<double> values;
    double sum = 0;
    for (const auto& field : options_.fields) {
      if (!json.contains(field.name) || !json.at(field.name).is_number())
        throw Unreadable("the answer has no number \"" + field.name + "\"");
      values.push_back(
          checked(json.at(field.name).get<double>(), field.low, field.high, "\"" + field.name + "\""));
      sum += values.back();
    }
    if (options_.has_sum && std::abs(sum - options_.sum) > options_.tolerance)
      throw Unreadable("the fields do not add up to the sum that is asked for");
    return values;
  }

 private:
  JsonOptions options_;
};

}  // namespace

std::unique_ptr<Judge> regex(const RegexOptions& options) {
  return std::make_unique<Regex>(options);
}
std::unique_ptr<Judge> json(const JsonOptions& options) {
  return std::make_unique<JsonJudge>(options);
}

}  // namespace remote
