// Where the time of an iteration went, as metrics, report and `plan` show it.
#pragma once

#include <string>
#include <vector>

#include "pipelines/stages/phase_clock.h"

namespace thalweg {

struct PhaseTiming {
  std::string phase;
  double wall = 0.0, cpu = 0.0;  // seconds; the wall time of work on several workers is their mean
};

/// rollout, decode, reward, monitor, train and optimizer, each where it took place.
std::vector<PhaseTiming> phase_timings(const PhaseClock& clock, int64_t workers);

/// The phases of `clock` as one of that name.
PhaseTiming whole_timing(const std::string& phase, const PhaseClock& clock, int64_t workers);

/// What timings grew by between two calls; the first may lack phases.
std::vector<PhaseTiming> difference(const std::vector<PhaseTiming>& before,
                                    const std::vector<PhaseTiming>& after);

}  // namespace thalweg
