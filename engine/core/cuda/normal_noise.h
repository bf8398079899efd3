// normal_noise on a GPU: see engine/core/rng.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace thalweg::cuda {

/// Fills `noise` [slots, ...], a contiguous CUDA tensor of float32 or float64, on the current stream. A build
/// without CUDA has no such tensor and asserts.
void fill_normal_noise(const at::Tensor& noise, uint64_t seed, uint32_t purpose, at::IntArrayRef slots,
                       uint64_t step);

}  // namespace thalweg::cuda
