// What an `align` job draws, trains on and holds.
#pragma once

#include "pipelines/align/options.h"
#include "pipelines/plan/load.h"

namespace thalweg {

/// Reads the job's prompt files; the method is counted by running it.
JobLoad align_load(const AlignOptions& options);

/// Prompts of the file `path`, which the job names at `pointer`.
double prompts_in(const std::string& path, const char* pointer);

/// What iteration `iteration` asks for.
MethodCount count_iteration(const AlignOptions& options, int64_t iteration);

/// How the rollout of one iteration is drawn.
DrawSettings rollout_settings(const AlignOptions& options, int64_t iteration);

}  // namespace thalweg
