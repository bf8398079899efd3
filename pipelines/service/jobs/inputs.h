// Files that clients handed over, as a job names them.
#pragma once

#include <string>

#include "engine/core/json.h"
#include "pipelines/service/store/store.h"

namespace thalweg::service {

/// `job` with each text that is the id of a file ("file-...") replaced by where it lies: a link of its own in
/// the job's folder, with the ending of the file's name, so that a file that is removed stays with the jobs
/// that were given it. Throws ApiError (400) for an id that is none.
Json with_inputs(const Json& job, Store& store, const std::string& job_id);

}  // namespace thalweg::service
