#include "pipelines/training/early_stop.h"

#include <utility>

#include "pipelines/report/format.h"

namespace thalweg {

void describe(Fields& f, EarlyStopSection& e) {
  f.integer({"patience", "evaluations in a row without a better one after which the run ends"}, e.patience, 1,
            100000);
  f.number({"min_delta", "how far an evaluation must exceed the best before it to be better"}, e.min_delta,
           0.0, 1e9);
}

EarlyStop::EarlyStop(const EarlyStopSection& section, std::string metric, int64_t every)
    : section_(section), metric_(std::move(metric)), every_(every) {}

void EarlyStop::observe(const Json& row) {
  const auto step = row.at("step").get<int64_t>();
  if (ended_ || row.at("kind") != "eval" || step % every_ != 0) return;
  const auto found = row.find(metric_);
  // In a row that was not written yet NaN is a number.
  const bool scored =
      found != row.end() && found->is_number() && found->get<double>() == found->get<double>();
  if (scored && (!best_ || found->get<double>() > *best_ + section_.min_delta)) {
    best_ = found->get<double>();
    best_step_ = step;
    waited_ = 0;
  } else if (step > 0 && ++waited_ >= section_.patience) {
    ended_ = step;
  }
}

std::string EarlyStop::reason() const {
  if (!ended_) return "";
  std::string text = "in " + std::to_string(section_.patience) + " held-out evaluations in a row " + metric_ +
                     " did not exceed ";
  text += best_ ? format_number(*best_) + ", that of iteration " + std::to_string(best_step_) : "anything";
  if (section_.min_delta > 0.0) text += ", by more than " + format_number(section_.min_delta);
  return text;
}

}  // namespace thalweg
