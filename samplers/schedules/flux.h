// FLUX.1's grid (Black Forest Labs 2024): a shift that grows with the picture.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

/// mu = 0.5 + 0.65 (L - 256)/3840 for L packed tokens (16 x 16 pixels each).
double flux_mu(int64_t tokens);

/// The uniform grid shifted by e^mu. steps, tokens >= 1.
Schedule flux_schedule(int64_t steps, int64_t tokens);

}  // namespace thalweg
