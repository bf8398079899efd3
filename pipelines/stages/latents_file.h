// The noise that a `sample` job starts from, in a file.
#pragma once

#include "engine/models/flow_model.h"

namespace thalweg {

struct GivenNoise {
  at::Tensor noise_NCFHW;
  bool image_rank = false;  // it came without a frame axis
};

/// Initial noise of a file, in `dtype`. Throws Error for a file without `latents`, of another shape or with
/// numbers that are not finite.
GivenNoise read_noise(const std::string& path, const LatentShape& shape, int64_t count, at::ScalarType dtype);

}  // namespace thalweg
