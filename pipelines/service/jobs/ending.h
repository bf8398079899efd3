// What the end of a run means for its job.
#pragma once

#include "engine/core/json.h"
#include "pipelines/service/jobs/state.h"

namespace thalweg::service {

/// What is known once a run's process has ended.
struct RunEnd {
  int code = 0;            ///< exit code, or 128 and a signal
  Json said = {};          ///< its last word: kind, place, message; null where it died without one
  Json result = {};        ///< of result.json, or null
  Wish wish = Wish::none;  ///< what a client had asked
  bool stopping = false;   ///< the service asked it to stop
  bool disk_full = false;
  int64_t faults_left = 0;  ///< how often it may still be begun again
};

struct Ending {
  State state = State::failed;
  Json error = {};     ///< null, or code, message, param
  bool fault = false;  ///< of the machine: it is begun again
};

Ending ending_of(const RunEnd& end);

}  // namespace thalweg::service
