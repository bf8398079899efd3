// The kinds of job, and a whole job read from JSON.
#pragma once

#include <memory>
#include <vector>

#include "engine/core/chosen.h"
#include "engine/core/json.h"
#include "pipelines/job.h"

namespace thalweg {

/// The job kinds (pipelines/builtin.cpp).
using JobTable = std::vector<KindRow<Job>>;
const JobTable& job_table();

/// Reads a whole job. Throws Error with the JSON pointer.
std::unique_ptr<Job> read_job(const Json& json);

/// The same, and checked as far as that needs neither a model nor the output folder. Throws Error.
std::unique_ptr<Job> checked_job(const Json& json);

/// The job with every default written out, fill_in() among them.
Json resolved_job(const Json& json);

/// JSON schema (draft 7) of all jobs; a section that stands more than once is a definition.
Json job_schema();

}  // namespace thalweg
