// The noise that a `sample` job starts from, in a file.
#pragma once

#include "engine/models/flow_model.h"

namespace thalweg {

/// Initial noise of a file, as [N,C,F,H,W] in `dtype`; `image_rank` says whether it came without a frame
/// axis. Throws Error for a file without `latents`, of another shape or with numbers that are not finite.
at::Tensor read_noise(const std::string& path, const LatentShape& shape, int64_t count, at::ScalarType dtype,
                      bool& image_rank);

}  // namespace thalweg
