// `thalweg plan` of an `align` job.
#pragma once

#include "pipelines/align/options.h"
#include "pipelines/plan/load.h"

namespace thalweg {

/// What the job draws, trains on and holds; reads its prompt files.
JobLoad align_load(const AlignOptions& options);

/// Throws Error as the job's run does for a model, prompts or rewards that cannot be used.
Plan plan_align(const AlignOptions& options, PlanMode mode);

}  // namespace thalweg
