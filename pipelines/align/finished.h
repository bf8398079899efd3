// Where a run ends, and whether the one in a folder has: as many iterations as asked for, or fewer by early
// stopping.
#pragma once

#include <optional>

#include "pipelines/align/options.h"

namespace thalweg {

/// Of a job that asks for it, before its first row.
std::optional<EarlyStop> early_stop_of(const AlignOptions& options);

/// Throws Error at /evaluate/early_stop/patience for one that the run is too short for.
void check_early_stop(const AlignOptions& options);

/// Throws Error at /evaluate/early_stop where it would have ended the run in the folder before what that has
/// done: as for iterations, that cannot be taken back.
void require_not_ended(const AlignOptions& options);

/// Whether the folder holds all results of this job, so that nothing is left to do.
bool is_finished(const AlignOptions& options);

}  // namespace thalweg
