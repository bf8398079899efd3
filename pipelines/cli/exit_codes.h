// What the program's exit code says.
#pragma once

namespace thalweg::cli {

enum Exit {
  kDone = 0,
  kFailed = 1,     // anything that is no other code
  kUserError = 2,  // the job or its inputs are wrong
  kStopped = 3,    // by a signal; 128 + its number: at once, by a second one
};

}  // namespace thalweg::cli
