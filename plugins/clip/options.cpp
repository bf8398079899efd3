#include "options.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/fields.h"
#include "engine/core/json.h"
#include "engine/core/names.h"

namespace clip {
namespace {

using thalweg::Error;
using thalweg::Fields;

const std::vector<std::string> kScores = {"cosine",    "clipscore", "logit", "goal",
                                          "aesthetic", "pickscore", "hpsv2"};
const std::vector<std::string> kPreprocess = {"exact", "smooth", "letterbox"};

void describe(Fields& f, Options& o) {
  f.text({"model", "folder of a CLIPModel", true}, o.model);
  f.text({"processor", "folder of tokenizer and image processor; the model's own where it is absent"},
         o.processor);
  f.texts({"scores", "the columns of the reward"}, o.scores);
  f.text({"preprocess", "exact, smooth or letterbox; what the score wants where it is absent"}, o.preprocess);
  f.optional_object({"goal", "goal-baseline regularisation"}, o.has_goal, [&](Fields& g) {
    g.text({"prompt", "what is wanted", true}, o.goal.prompt);
    g.text({"baseline", "what is there without it", true}, o.goal.baseline);
    g.number({"alpha", "strength of the projection onto the line between both"}, o.goal.alpha, 0.0, 1.0);
  });
  f.text({"aesthetic", "safetensors file of an aesthetic head"}, o.aesthetic);
}

void check_scores(const Options& o) {
  if (o.scores.empty()) throw Error("/scores", "names no score; known: " + thalweg::join(kScores));
  for (size_t i = 0; i < o.scores.size(); ++i) {
    const auto place = "/scores/" + std::to_string(i);
    const auto& name = o.scores[i];
    if (std::find(kScores.begin(), kScores.end(), name) == kScores.end())
      throw Error(place, "\"" + name + "\" is no score" + thalweg::suggestion(name, kScores));
    if (std::count(o.scores.begin(), o.scores.end(), name) > 1)
      throw Error(place, "\"" + name + "\" is given twice");
  }
}

/// A section without its score is read by nothing, a score without its section has nothing to read.
void check_pair(const Options& o, const std::string& name, bool given) {
  if (given && !o.asks_for(name))
    throw Error("/" + name, "nothing reads it: add \"" + name + "\" to \"scores\"");
  if (!given && o.asks_for(name)) throw Error("/" + name, "is missing, and \"scores\" asks for it");
}

/// HPSv2's weights have seen letterboxed pictures, the others' never.
void settle_preprocess(Options& o, bool given) {
  const bool boxed = o.asks_for("hpsv2");
  if (boxed && o.scores.size() > 1)
    throw Error("/scores", "\"hpsv2\" stands alone: it sees its pictures otherwise than the other scores");
  if (!given) o.preprocess = boxed ? "letterbox" : "exact";
  if (std::find(kPreprocess.begin(), kPreprocess.end(), o.preprocess) == kPreprocess.end())
    throw Error("/preprocess", "\"" + o.preprocess + "\" is none; known: " + thalweg::join(kPreprocess));
  if (boxed && o.preprocess != "letterbox")
    throw Error("/preprocess", "must be \"letterbox\" for \"hpsv2\", or absent");
}

}  // namespace

bool Options::asks_for(std::string_view score) const {
  return std::find(scores.begin(), scores.end(), score) != scores.end();
}

Options read_options(std::string_view config_json) {
  Options o;
  const auto json = thalweg::parse_json(config_json, "");
  thalweg::read_fields(json, "", [&](Fields& f) { describe(f, o); });
  check_scores(o);
  settle_preprocess(o, json.contains("preprocess"));
  check_pair(o, "goal", o.has_goal);
  check_pair(o, "aesthetic", !o.aesthetic.empty());
  if (o.processor.empty()) o.processor = o.model;
  return o;
}

}  // namespace clip
