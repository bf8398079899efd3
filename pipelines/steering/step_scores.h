// What rewards said of each sample of a micro-batch while it was led, step by step.
#pragma once

#include <map>
#include <utility>

#include "engine/core/values.h"

namespace thalweg {

/// By the index of a step and the slot of a sample: those of the steps at which a reward was asked.
class StepScores {
 public:
  /// Values of the step's samples from row `begin` on; NaN: not scored.
  void add(const Step& step, int64_t begin, const at::Tensor& value_B);
  /// Which of them have no gradient, bool.
  void lose(const Step& step, int64_t begin, const at::Tensor& lost_B);

  /// Mean of a sample's values at the step; NaN where one of them is missing, or none was asked for.
  double mean(int64_t index, int64_t slot) const;
  /// Whether a value or a gradient of it is missing there.
  bool lost(int64_t index, int64_t slot) const;

 private:
  struct Said {
    double sum = 0.0;
    int64_t values = 0;
    bool lost = false;
  };
  Said& at(const Step& step, int64_t row);
  const Said* find(int64_t index, int64_t slot) const;

  std::map<std::pair<int64_t, int64_t>, Said> said_;
};

}  // namespace thalweg
