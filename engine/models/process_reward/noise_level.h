// A noise level as a network reads it.
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

inline constexpr int64_t kLevelWaves = 64;

/// Sines and cosines of 1000 sigma, [B, kLevelWaves], float32.
at::Tensor level_waves(const at::Tensor& sigma_B);

}  // namespace thalweg
