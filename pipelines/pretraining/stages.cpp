#include "pipelines/pretraining/stages.h"

#include <algorithm>

namespace thalweg {

RunPlan stage_plan(const PretrainOptions& o, const char* phase, const std::filesystem::path& folder,
                   int64_t steps, const char* shown_metric) {
  return {.phase = phase,
          .folder = folder,
          .iterations = steps,
          .checkpoint = {o.checkpoint_every, o.checkpoint_keep},
          .shown_metric = shown_metric,
          .identity = pretrain_identity(o)};
}

}  // namespace thalweg
