// The shifted grid (Esser et al. 2024, arXiv 2403.03206, equation 23), as DanceGRPO and Wan take it: more
// steps at high noise.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

/// k s / (1 + (k-1) s) of the uniform grid. steps >= 1, shift k > 0; 1 is the uniform grid.
Schedule shifted_schedule(int64_t steps, double shift);

}  // namespace thalweg
