#include "rewards/hosted/host_limits.h"

namespace thalweg {

void describe(Fields& f, HostLimits& limits) {
  f.number({"call_seconds",
            "that one call, or its start, may take; then it is ended, and the samples of the "
            "call are not scored"},
           limits.call_s, 0.001, 1e6);
  f.integer({"restarts", "how often it is begun again after it ended, at the next call"}, limits.restarts, 0,
            1000000);
  f.number({"memory_gib", "of data that it may have; 0: not limited"}, limits.memory_gib, 0.0, 1e6);
}

}  // namespace thalweg
