#include "pipelines/pretraining/stages.h"

#include <algorithm>
#include <utility>

namespace thalweg {

RunPlan stage_plan(const PretrainOptions& o, const char* phase, const std::filesystem::path& folder,
                   int64_t steps, const char* shown_metric, Json identity) {
  return {.phase = phase,
          .folder = folder,
          .iterations = steps,
          .checkpoint = {o.checkpoint_every, o.checkpoint_keep},
          .shown_metric = shown_metric,
          .identity = std::move(identity)};
}

double learning_rate_factor(int64_t step, int64_t steps, int64_t warmup_steps, double decay_fraction) {
  const double warm =
      warmup_steps > 0 ? static_cast<double>(step + 1) / static_cast<double>(warmup_steps) : 1.0;
  const double left = static_cast<double>(steps - step) / static_cast<double>(steps);
  const double decay = decay_fraction > 0.0 ? left / decay_fraction : 1.0;
  return std::min({1.0, warm, decay});
}

}  // namespace thalweg
