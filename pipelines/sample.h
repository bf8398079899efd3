// The `sample` job: prompts to pictures, with a LoRA, given noise, saved latents and frames, and scores.
#pragma once

#include "pipelines/builtin.h"

namespace thalweg {

std::unique_ptr<Job> make_sample_job();

}  // namespace thalweg
