// The grid of noise levels of Stable Diffusion 3's scheduler.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

/// Sigmas of FlowMatchEulerDiscreteScheduler: the shift is applied to sigma_min and then again to the whole
/// grid, as diffusers does (online_rl.md 0). N+1 values ending in 0.
Schedule sd3_schedule(int64_t steps, double shift, int64_t num_train_timesteps = 1000);

}  // namespace thalweg
