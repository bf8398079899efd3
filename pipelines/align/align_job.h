// The `align` job: base evaluation, iterations of a method, checkpoints, final evaluation, report.
#pragma once

#include "pipelines/builtin.h"

namespace thalweg {

std::unique_ptr<Job> make_align_job();

}  // namespace thalweg
