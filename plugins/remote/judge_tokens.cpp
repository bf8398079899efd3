// Scores from the probabilities of the answer's first token.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "ascii.h"
#include "engine/core/error.h"
#include "engine/core/names.h"
#include "judge.h"

namespace remote {
namespace {

using thalweg::Error;

constexpr double kNothing = -std::numeric_limits<double>::infinity();

double log_add(double a, double b) {
  const double high = std::max(a, b);
  return high == kNothing ? high : high + std::log(std::exp(a - high) + std::exp(b - high));
}

const TokenPlace& place_of(const Completion& completion) {
  if (completion.places.empty())
    throw Unreadable("the server sends no log-probabilities (\"logprobs\"): use \"regex\" or \"json\"");
  const auto* place = first_place(completion);
  if (place == nullptr || place->top.empty()) throw Unreadable("the answer has no token to read");
  return *place;
}

std::vector<std::string> bare_words(const std::vector<std::string>& words, const char* place) {
  std::vector<std::string> bare;
  for (const auto& word : words) bare.push_back(bare_token(word));
  if (bare.empty() || std::any_of(bare.begin(), bare.end(), [](const auto& w) { return w.empty(); }))
    throw Error(place, "must be words, at least one");
  return bare;
}

bool is_one_of(const std::string& word, const std::vector<std::string>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

class PYes final : public Judge {
 public:
  explicit PYes(const PYesOptions& options)
      : yes_(bare_words(options.yes, "/yes")),
        no_(bare_words(options.no, "/no")),
        min_coverage_(options.min_coverage) {
    for (const auto& word : yes_)
      if (is_one_of(word, no_)) throw Error("/no", "has \"" + word + "\", which \"yes\" has, too");
  }

  std::vector<std::string> dimensions() const override { return {"p_yes"}; }
  bool wants_logprobs() const override { return true; }

  std::vector<double> read(const Completion& completion) const override {
    const auto& place = place_of(completion);
    double yes = kNothing, no = kNothing;
    for (const auto& [token, lp] : place.top) {
      const auto word = bare_token(token);
      if (is_one_of(word, yes_)) yes = log_add(yes, lp);
      if (is_one_of(word, no_)) no = log_add(no, lp);
    }
    if (yes == kNothing && no == kNothing)
      throw Unreadable("neither yes nor no is among the likeliest tokens");
    const double coverage = std::exp(yes) + std::exp(no);
    if (coverage < min_coverage_)
      throw Unreadable("yes and no together are less likely than \"min_coverage\"");
    if (yes == kNothing || no == kNothing) {
      if (place.top.size() < 2)
        throw Unreadable(std::string(yes == kNothing ? "yes" : "no") +
                         " is not there, and one token bounds nothing: ask for more (\"top_logprobs\")");
      (yes == kNothing ? yes : no) = most_of_absent(place);
    }
    return {1.0 / (1.0 + std::exp(no - yes))};
  }

 private:
  /// What was not sent is at most as likely as the least likely token that was, and as all that is left.
  static double most_of_absent(const TokenPlace& place) {
    double least = 0, sent = 0;
    for (const auto& [token, lp] : place.top) {
      least = std::min(least, lp);
      sent += std::exp(lp);
    }
    return std::min(least, sent < 1 ? std::log1p(-sent) : kNothing);
  }

  std::vector<std::string> yes_, no_;
  double min_coverage_;
};

class LevelLogits final : public Judge {
 public:
  explicit LevelLogits(const LevelOptions& options) : min_coverage_(options.min_coverage) {
    for (const auto& [word, value] : options.levels) {
      levels_.emplace_back(bare_token(word), value);
      if (levels_.back().first.empty()) throw Error("/levels", "has a level that is no word");
    }
    for (size_t i = 0; i < levels_.size(); ++i)
      for (size_t j = 0; j < i; ++j)
        if (levels_[i].first == levels_[j].first)
          throw Error("/levels", "has \"" + levels_[i].first + "\" twice");
  }

  std::vector<std::string> dimensions() const override { return {"level"}; }
  bool wants_logprobs() const override { return true; }

  std::vector<double> read(const Completion& completion) const override {
    const auto& place = place_of(completion);
    std::vector<double> lp(levels_.size(), kNothing);
    for (const auto& [token, value] : place.top)
      if (const auto level = level_of(bare_token(token))) lp[*level] = log_add(lp[*level], value);
    double all = kNothing;
    std::vector<std::string> absent;
    for (size_t i = 0; i < lp.size(); ++i) {
      all = log_add(all, lp[i]);
      if (lp[i] == kNothing) absent.push_back("\"" + levels_[i].first + "\"");
    }
    if (!absent.empty())
      throw Unreadable(thalweg::join(absent) +
                       " is not among the likeliest tokens: ask for more (\"top_logprobs\")");
    if (std::exp(all) < min_coverage_)
      throw Unreadable("the levels together are less likely than \"min_coverage\"");
    double mean = 0;
    for (size_t i = 0; i < lp.size(); ++i) mean += std::exp(lp[i] - all) * levels_[i].second;
    return {mean};
  }

 private:
  /// The level that begins with this token, where it is only one: "ex" is excellent, unless there is
  /// "extreme".
  std::optional<size_t> level_of(const std::string& token) const {
    std::optional<size_t> found;
    if (token.empty()) return found;
    for (size_t i = 0; i < levels_.size(); ++i) {
      if (levels_[i].first == token) return i;
      if (levels_[i].first.compare(0, token.size(), token) != 0) continue;
      if (found) return std::nullopt;
      found = i;
    }
    return found;
  }

  std::vector<std::pair<std::string, double>> levels_;
  double min_coverage_;
};

}  // namespace

std::string bare_token(std::string_view token) {
  std::string bare;
  while (!token.empty()) {
    // U+2581 of SentencePiece, U+0120 and U+010A of byte-level BPE.
    const bool mark3 = token.substr(0, 3) == "\xE2\x96\x81",
               mark2 = token.substr(0, 2) == "\xC4\xA0" || token.substr(0, 2) == "\xC4\x8A";
    const char c = token.front();
    if (!mark3 && !mark2 && c != ' ' && c != '\t' && c != '\r' && c != '\n') bare += ascii_lower(c);
    token.remove_prefix(mark3 ? 3 : mark2 ? 2 : 1);
  }
  return bare;
}

std::unique_ptr<Judge> p_yes(const PYesOptions& options) {
  return std::make_unique<PYes>(options);
}
std::unique_ptr<Judge> level_logits(const LevelOptions& options) {
  return std::make_unique<LevelLogits>(options);
}

}  // namespace remote
