// What an output folder holds of earlier jobs: what may not be touched, and what goes when a job begins.
#pragma once

#include <filesystem>

#include "engine/core/json.h"

namespace thalweg {

/// Throws Error at /output when the folder holds a finished run of another job than `resolved`, or one that
/// can go on.
void require_free(const std::filesystem::path& folder, const Json& resolved);

/// For a job that begins anew: removes result.json and the pictures of the run before, of another job (which
/// came to nothing) its records too; but nothing that this job reads. Weights, tensors and files of other
/// names stay.
void remove_leftovers(const std::filesystem::path& folder, const Json& resolved);

}  // namespace thalweg
