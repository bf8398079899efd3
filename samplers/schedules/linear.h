// The uniform grid.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

/// 1, 1 - 1/N, ..., 0. steps >= 1.
Schedule linear_schedule(int64_t steps);

}  // namespace thalweg
