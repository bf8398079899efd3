// What may be done to a job: each a change for Store::change(), which tells of it.
#pragma once

#include "pipelines/service/jobs/ending.h"
#include "pipelines/service/store/store.h"

namespace thalweg::service {

/// A run of it begins.
Store::Change begun();
/// The run has this process.
Store::Change runs_as(int64_t process, std::optional<int64_t> start);
/// Its run has ended; `end` but for what the job itself knows.
Store::Change ended(RunEnd end, int64_t most_faults);
/// Its run could not be begun or told of; it is tried again, but for `most_faults` times in all.
Store::Change failed_to_run(const std::string& why, int64_t most_faults);
/// The server that ran it is gone.
Store::Change taken_up();
/// A client asks to pause or to cancel: what runs is asked to, what does not is at once. Throws ApiError
/// (409).
Store::Change wished(Wish wish);
/// A client, or a disk with space again, lets it go on. Throws ApiError (409).
Store::Change queued_again();

}  // namespace thalweg::service
