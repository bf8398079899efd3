// The `evaluate` job: mean rewards of a model on prompts, at one or several guidance scales, same noise for
// all.
#pragma once

#include "pipelines/builtin.h"

namespace thalweg {

std::unique_ptr<Job> make_evaluate_job();

}  // namespace thalweg
