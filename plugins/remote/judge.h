// From what a judge wrote to a score. An answer that cannot be read has no score; it never becomes a 0.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "completion.h"
#include "engine/core/fields.h"
#include "engine/core/json.h"

namespace remote {

struct PYesOptions {
  std::vector<std::string> yes{"yes"}, no{"no"};
  double min_coverage = 0.5;
};

struct LevelOptions {
  std::vector<std::pair<std::string, double>> levels;  // word and value
  double min_coverage = 0.0;
};

struct RegexOptions {
  std::string pattern;
  double low = 0, high = 0;
};

struct JsonField {
  std::string name;
  double low = 0, high = 0;
};
struct JsonOptions {
  std::vector<JsonField> fields;
  bool has_sum = false;
  double sum = 0, tolerance = 0;
};

/// How an answer is read.
class Judge {
 public:
  Judge() = default;
  Judge(const Judge&) = delete;
  Judge& operator=(const Judge&) = delete;
  virtual ~Judge() = default;

  virtual std::vector<std::string> dimensions() const = 0;
  /// Whether it reads log-probabilities.
  virtual bool wants_logprobs() const { return false; }
  /// For "response_format"; null where there is none.
  virtual thalweg::Json response_format() const { return nullptr; }
  /// One finite score a dimension. Throws Unreadable. [any thread]
  virtual std::vector<double> read(const Completion& completion) const = 0;
};

/// P(yes) = sigmoid(y - n), y and n the log of the probability of all spellings of yes and no among the first
/// token's likeliest. Where one of both was not sent, its bound stands for it: the least probability that was
/// sent, or what all of them leave of 1, if that is less. Not read where e^y + e^n < min_coverage, nor from
/// one token that is only one of both.
std::unique_ptr<Judge> p_yes(const PYesOptions& options);

/// The mean of the levels' values under the softmax over their first tokens, as DeQA-Score does it (excellent
/// .. poor: 5 .. 1). Every level must be among the likeliest tokens.
std::unique_ptr<Judge> level_logits(const LevelOptions& options);

/// A number that one group of a regular expression (ICU's) captures; it must match exactly once.
std::unique_ptr<Judge> regex(const RegexOptions& options);

/// Numbers of one JSON object, within their bounds; the server is asked for that form (a strict schema).
std::unique_ptr<Judge> json(const JsonOptions& options);

/// Of a configuration's "parse". Errors are at pointers within it.
struct ParseOptions {
  std::string name = "p_yes";
  PYesOptions p_yes;
  LevelOptions level_logits;
  RegexOptions regex;
  JsonOptions json;
};
void describe(thalweg::Fields& fields, ParseOptions& options);
/// Throws thalweg::Error below `place`.
std::unique_ptr<Judge> make_judge(const ParseOptions& options, const std::string& place);

/// As tokens are compared with words: without blanks and the marks that tokenizers put for them, in lower
/// case.
std::string bare_token(std::string_view token);

}  // namespace remote
