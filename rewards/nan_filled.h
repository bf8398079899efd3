// What "not scored" and "no gradient" look like.
#pragma once

#include <ATen/ops/full.h>

#include <limits>

namespace thalweg {

/// float32 on the CPU, NaN throughout.
inline at::Tensor nan_filled(at::IntArrayRef shape) {
  return at::full(shape, std::numeric_limits<float>::quiet_NaN(), at::TensorOptions(at::kFloat));
}

}  // namespace thalweg
