// One step of a transition kernel (samplers/kernel.h) as one pass on a GPU:
//   mean = x x_scale + v v_scale,  next = mean + std * noise
//   log_prob = offset - weight * mean over elements of (next - mean)^2
// Raw device pointers, so that it links without LibTorch. B samples, D elements of one sample.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace thalweg::cuda {

/// A step, reduced to what an element needs; one schedule for the whole batch.
struct TransitionCoefficients {
  float x_scale = 1.0f, v_scale = 0.0f, std = 0.0f;
  double weight = 0.0, offset = 0.0;  ///< of the log-probability
};

/// Device tensors, float32, contiguous; outputs may not overlap inputs, except `next_BD`, which may be
/// `x_BD`.
struct TransitionStep {
  const float* x_BD = nullptr;
  const float* velocity_BD = nullptr;
  const float* noise_BD = nullptr;      ///< standard normal
  TransitionCoefficients coefficients;  ///< by value: nothing is copied to the device
  float* next_BD = nullptr;
  float* log_prob_B = nullptr;
  void* workspace =
      nullptr;  ///< transition_workspace_bytes, zeroed once; every launch leaves it ready for the next
  std::int64_t samples = 0;   ///< B, 1 to 65535
  std::int64_t elements = 0;  ///< D, at least 1
};

std::size_t transition_workspace_bytes(std::int64_t samples, std::int64_t elements);

/// Enqueues the step. One workspace serves one stream at a time. The numbers depend neither on the device nor
/// on the order in which blocks run. Returns cudaErrorInvalidValue for a null tensor or a size out of range.
cudaError_t transition_step(const TransitionStep& step, cudaStream_t stream);

}  // namespace thalweg::cuda
