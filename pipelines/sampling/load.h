// What a `sample` job draws and keeps.
#pragma once

#include "pipelines/plan/load.h"
#include "pipelines/sampling/options.h"

namespace thalweg {

/// Reads the job's prompt file, and asks the rewards what they need.
JobLoad sample_load(const SampleOptions& options);

}  // namespace thalweg
