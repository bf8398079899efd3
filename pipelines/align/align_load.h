// What an `align` job draws, trains on and holds.
#pragma once

#include "pipelines/align/options.h"
#include "pipelines/plan/load.h"

namespace thalweg {

/// Reads the job's prompt files; the method is counted by running it.
JobLoad align_load(const AlignOptions& options);

/// How many prompts a file holds.
double prompts_in(const PromptFile& file);

/// What iteration `iteration` asks for.
MethodCount count_iteration(const AlignOptions& options, int64_t iteration);

/// How the rollout of one iteration is drawn.
DrawSettings rollout_settings(const AlignOptions& options, int64_t iteration);

}  // namespace thalweg
