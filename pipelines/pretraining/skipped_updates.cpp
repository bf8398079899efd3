#include "pipelines/pretraining/skipped_updates.h"

#include <cmath>

#include "engine/core/error.h"

namespace thalweg {

bool SkippedUpdates::skips(double norm, int64_t step, Metrics& metrics) {
  if (std::isfinite(norm)) return false;
  ++count_;
  add_metric(metrics, "skipped_updates", 1.0);
  events_.add({"warn",
               "update_skipped",
               stage_ + ": update " + std::to_string(step + 1) +
                   " is skipped, its gradient is not finite; lower " + rate_ + ", or set /dtype to float32",
               {{"stage", stage_}, {"update", step + 1}, {"skipped", count_}}});
  return true;
}

void require_some_update(int64_t skipped, int64_t steps, const std::string& rate) {
  if (skipped < steps) return;
  throw Error(rate, "not one of the " + std::to_string(steps) +
                        " updates was made: no gradient was finite. Lower it, or set /dtype to float32");
}

}  // namespace thalweg
