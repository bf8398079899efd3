// Updates that were not made because their gradient is not finite: counted, and on record.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipelines/stages/event.h"
#include "pipelines/training/metrics.h"
#include "pipelines/training/state.h"

namespace thalweg {

class SkippedUpdates {
 public:
  /// `stage` as events name it; `rate` is the job's key to turn.
  SkippedUpdates(std::string stage, std::string rate) : stage_(std::move(stage)), rate_(std::move(rate)) {}

  /// Whether update `step` with a gradient of this norm is to be skipped; adds the metric skipped_updates.
  bool skips(double norm, int64_t step, Metrics& metrics);
  int64_t count() const { return count_; }
  /// One a skipped update.
  std::vector<Event> take() { return events_.take(); }
  void state(RunState& state) { state.integer("skipped_updates", count_); }

 private:
  std::string stage_, rate_;
  int64_t count_ = 0;
  Events events_;
};

/// Throws Error at `rate` when every one of `steps` updates was skipped.
void require_some_update(int64_t skipped, int64_t steps, const std::string& rate);

}  // namespace thalweg
