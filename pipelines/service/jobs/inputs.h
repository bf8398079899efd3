// Files and libraries that clients handed over, as a job names them.
#pragma once

#include <filesystem>
#include <string>

#include "engine/core/json.h"
#include "pipelines/service/store/store.h"

namespace thalweg::service {

/// `job` with each text that is the id of a file ("file-..."), and each reward that was loaded, replaced by
/// where it lies: a link of its own in `folder`, so that what is removed stays with the jobs that were given
/// it. A file has the ending of its name there. Throws ApiError (400) for an id that is none.
Json with_inputs(const Json& job, Store& store, const std::filesystem::path& folder);

}  // namespace thalweg::service
