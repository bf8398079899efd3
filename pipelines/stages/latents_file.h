// Latents in files: the noise that a `sample` job starts from, and what it saves beside clean latents.
#pragma once

#include "pipelines/stages/rollout.h"

namespace thalweg {

/// Initial noise of a file, as [N,C,F,H,W] in `dtype`; `image_rank` says whether it came without a frame
/// axis. Throws Error for a file without `latents`, of another shape or with numbers that are not finite.
at::Tensor read_noise(const std::string& path, const LatentShape& shape, int64_t count, at::ScalarType dtype,
                      bool& image_rank);

/// `log_weights` and `ancestors` of samples that are returned with all their particles; else nothing.
TensorMap particle_weights_of(const std::vector<MicroBatch>& batches);

}  // namespace thalweg
