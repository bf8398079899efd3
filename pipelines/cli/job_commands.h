// What is done with a job: run, checked, planned.
#pragma once

#include "engine/core/json.h"
#include "pipelines/cli/job_file.h"
#include "pipelines/plan/plan.h"

namespace thalweg::cli {

/// Runs a job, or goes on with it, and shows how it goes: as a bar or lines for people, or `as_json` for
/// programs (progress_lines.h). Returns the exit code.
int run(const JobArguments& arguments, bool as_json);

/// As far as that needs no model, the output folder included. Throws Error.
void check(const Json& job);

/// What a job will need; one for a GPU may be planned without it. Throws Error.
Plan planned(Json job, PlanMode mode);

}  // namespace thalweg::cli
