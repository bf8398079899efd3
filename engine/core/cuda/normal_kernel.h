// The kernel behind normal_noise: raw device pointers, so that nvcc never sees LibTorch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace thalweg::cuda {

inline constexpr int64_t kMaxStreams = 256;

/// Rows of one launch and their streams. Handed over by value, as kernel parameters: nothing is copied to the
/// device, so nothing has to be waited for.
struct NoiseStreams {
  uint64_t seed = 0, step = 0;
  uint32_t purpose = 0;
  uint32_t rows = 0;  // 1 to kMaxStreams
  uint64_t slots[kMaxStreams] = {};
};

/// Enqueues the fill of out[rows][count], standard normal. Returns cudaErrorInvalidValue for a null pointer
/// or a size out of range (count 1 to 2^25 - 1).
cudaError_t fill_normal(float* out, int64_t count, const NoiseStreams& streams, cudaStream_t stream);
cudaError_t fill_normal(double* out, int64_t count, const NoiseStreams& streams, cudaStream_t stream);

}  // namespace thalweg::cuda
