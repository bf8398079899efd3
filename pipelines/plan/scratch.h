// Rehearsals of whole jobs: run in a folder that is removed again.
#pragma once

#include <functional>

#include "engine/core/json.h"
#include "engine/core/scratch_folder.h"
#include "pipelines/plan/plan.h"

namespace thalweg {

/// Runs `run` with a fresh folder and returns the phases of its result with wall times as the mean over
/// `workers`, "load and encode" being the rest. The folder is removed, whatever happens.
std::vector<PlanPhase> rehearse_in_scratch(int64_t workers,
                                           const std::function<Json(const std::string& folder)>& run);

}  // namespace thalweg
