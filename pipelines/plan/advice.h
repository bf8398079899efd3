// Which settings of a job would lower its peak of memory.
#pragma once

#include "pipelines/plan/load.h"

namespace thalweg {

/// Fills `advice`: settings that lower the peak, those that lower it most first. `offset` is what measurement
/// added to the peak of plan_memory.
void plan_advice(const JobLoad& load, const ModelSize& size, double program_bytes, double offset, Plan& plan);

}  // namespace thalweg
