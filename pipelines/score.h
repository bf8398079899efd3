// The `score` job: rewards of pictures that are already there.
#pragma once

#include "pipelines/builtin.h"

namespace thalweg {

std::unique_ptr<Job> make_score_job();

}  // namespace thalweg
