// The end of a run whose held-out evaluations no longer rise. A function of the rows of metrics.jsonl alone,
// as monitors are, so that a resumed run ends where one that was never stopped does.
#pragma once

#include <optional>
#include <string>

#include "engine/core/fields.h"
#include "engine/core/json.h"

namespace thalweg {

/// The key `early_stop` of a job's evaluations.
struct EarlyStopSection {
  bool present = false;
  int64_t patience = 3;
  double min_delta = 0.0;
};
void describe(Fields& fields, EarlyStopSection& section);

class EarlyStop {
 public:
  /// `metric`: of the rows of kind "eval". Rows of other steps than every `every`-th are passed over: the
  /// evaluation at a run's end would not be there had more iterations been asked for.
  EarlyStop(const EarlyStopSection& section, std::string metric, int64_t every);

  /// Takes the next row. An evaluation is better when it exceeds the best before it, that of the start
  /// included, by more than min_delta; one without a value is not.
  void observe(const Json& row);

  /// The step of the evaluation that was the patience-th in a row without a better one; none: not yet.
  std::optional<int64_t> ended() const { return ended_; }
  /// Why it ended there, in words; empty while it has not.
  std::string reason() const;

 private:
  EarlyStopSection section_;
  std::string metric_;
  int64_t every_;
  std::optional<double> best_;
  int64_t best_step_ = 0, waited_ = 0;
  std::optional<int64_t> ended_;
};

}  // namespace thalweg
