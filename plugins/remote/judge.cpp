#include "judge.h"

#include "engine/core/error.h"

namespace remote {

using thalweg::Error;
using thalweg::Fields;

namespace {

constexpr double kMost = 1e9;

void describe_p_yes(Fields& f, PYesOptions& o) {
  f.texts({"yes", "spellings of yes"}, o.yes);
  f.texts({"no", "spellings of no"}, o.no);
  f.number({"min_coverage", "probability that yes and no must have together"}, o.min_coverage, 0.0, 1.0);
}

void describe_levels(Fields& f, LevelOptions& o) {
  f.numbers({"levels", "value of each word", true}, o.levels, -kMost, kMost);
  f.number({"min_coverage", "probability that the levels must have together"}, o.min_coverage, 0.0, 1.0);
}

void describe_regex(Fields& f, RegexOptions& o) {
  f.text({"pattern", "with one group, which captures the number", true}, o.pattern);
  f.number({"low", "least score", true}, o.low, -kMost, kMost);
  f.number({"high", "greatest score", true}, o.high, -kMost, kMost);
}

void describe_json(Fields& f, JsonOptions& o) {
  f.list<JsonField>({"fields", "the numbers of the object: one column each", true}, o.fields,
                    [](Fields& g, JsonField& field) {
                      g.text({"name", "its key", true}, field.name);
                      g.number({"low", "least value", true}, field.low, -kMost, kMost);
                      g.number({"high", "greatest value", true}, field.high, -kMost, kMost);
                    });
  f.optional_object({"sum", "what the fields must add up to"}, o.has_sum, [&](Fields& g) {
    g.number({"value", "the sum", true}, o.sum, -kMost, kMost);
    g.number({"tolerance", "how far from it is taken"}, o.tolerance, 0.0, kMost);
  });
}

void check_bounds(double low, double high, const std::string& place) {
  if (!(low < high)) throw Error(place + "/high", "must be above \"low\"");
}

}  // namespace

void describe(Fields& f, ParseOptions& o) {
  f.variant({"name", "how the answer becomes a score"}, o.name,
            {{"p_yes", "probability of yes", [&](Fields& g) { describe_p_yes(g, o.p_yes); }},
             {"level_logits", "mean of levels under their probabilities",
              [&](Fields& g) { describe_levels(g, o.level_logits); }},
             {"regex", "a number in the text", [&](Fields& g) { describe_regex(g, o.regex); }},
             {"json", "numbers of an object", [&](Fields& g) { describe_json(g, o.json); }}});
}

std::unique_ptr<Judge> make_judge(const ParseOptions& o, const std::string& place) {
  if (o.name == "level_logits") {
    if (o.level_logits.levels.size() < 2) throw Error(place + "/levels", "must name two levels at least");
  } else if (o.name == "regex") {
    check_bounds(o.regex.low, o.regex.high, place);
  } else if (o.name == "json") {
    if (o.json.fields.empty()) throw Error(place + "/fields", "names no field");
    for (size_t i = 0; i < o.json.fields.size(); ++i) {
      const auto at = place + "/fields/" + std::to_string(i);
      check_bounds(o.json.fields[i].low, o.json.fields[i].high, at);
      if (o.json.fields[i].name.empty()) throw Error(at + "/name", "is empty");
      for (size_t j = 0; j < i; ++j)
        if (o.json.fields[i].name == o.json.fields[j].name) throw Error(at + "/name", "is given twice");
    }
  }
  try {
    if (o.name == "level_logits") return level_logits(o.level_logits);
    if (o.name == "regex") return regex(o.regex);
    if (o.name == "json") return json(o.json);
    return p_yes(o.p_yes);
  } catch (const Error& e) {
    throw Error(place + e.place(), e.message());
  }
}

}  // namespace remote
