// `thalweg plan` of an `align` job.
#pragma once

#include "pipelines/align/options.h"
#include "pipelines/plan/plan.h"

namespace thalweg {

/// Throws Error as the job's run does for a model, prompts or rewards that cannot be used.
Plan plan_align(const AlignOptions& options, const PlanRequest& request);

}  // namespace thalweg
