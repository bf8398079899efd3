// Which job a run's folder belongs to: what every kind of job that leaves checkpoints asks before it goes on.
#pragma once

#include <filesystem>
#include <string>

#include "engine/core/fields.h"

namespace thalweg {

/// sha256 of the resolved job without what may differ between a run and its continuation: "output", and
/// "parallel/workers", on which the numbers do not depend.
std::string job_hash(const Fields::Describe& describe);

/// Throws Error at /output when `folder` holds a checkpoint of another job. Reads manifests alone: whether
/// the files are whole is seen when the run loads them.
void require_own_checkpoint(const std::filesystem::path& folder, const std::string& job_hash);

}  // namespace thalweg
