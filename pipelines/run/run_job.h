// The life of a job in its output folder, whoever starts it: checks, lock, run, result.json.
#pragma once

#include <string>

#include "engine/core/json.h"
#include "pipelines/job.h"

namespace thalweg {

/// How a job ended.
struct JobEnd {
  enum class Kind {
    succeeded,
    stopped,    // on request, or paused; the same job goes on, or begins anew, when it is run again
    wrong_job,  // the user can mend it: the job, a file that it names, a plugin
    failed,     // anything else: a full disk, no memory left, a fault of the program
  };
  Kind kind = Kind::failed;
  Json result = {};          // as result.json says it; null: it was refused before it began
  std::string place = {};    // of the error: a JSON pointer or a path; may be empty
  std::string message = {};  // of the error, place included, or why it paused; else empty
  bool resumes = false;      // a job that was stopped goes on when it is run again
};

/// Throws Error when the output folder holds a finished run of another job, or one that could go on. To be
/// asked under the folder's lock, or for a forecast.
void check_folder(const Job& job, const Json& resolved);

/// Reads, checks and runs a job; whatever is thrown becomes a JobEnd. The folder is locked from the last
/// check to the end: of two runs in one folder the second is refused and writes nothing. Once the job has
/// begun, the folder holds its job.json, nothing that an earlier job left of itself, and in the end its
/// result.json.
JobEnd run_job(const Json& job, const Observer& observer);

/// The same of a job that was read and checked; `resolved` is what its job.json says.
JobEnd run_job(Job& job, const Json& resolved, const Observer& observer);

}  // namespace thalweg
