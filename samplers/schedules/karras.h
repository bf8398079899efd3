// The grid of Karras et al. 2022 (arXiv 2206.00364, equation 5) on the flow's own noise levels, as diffusers
// takes it for flows: more steps at low noise.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

/// (1 + i/(N-1) (sigma_min^(1/rho) - 1))^rho for i < N, then 0. steps >= 1, rho > 0, 0 < sigma_min < 1.
Schedule karras_schedule(int64_t steps, double rho, double sigma_min);

}  // namespace thalweg
