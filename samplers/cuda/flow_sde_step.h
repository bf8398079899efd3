// The fused Flow-SDE step on a GPU. Flow-GRPO (arXiv 2505.05470), the Euler-Maruyama step of its reverse SDE:
//   mean = x (1 + g^2/(2 s) dt) + v (1 + g^2 (1-s)/(2 s)) dt,  std = g sqrt(-dt),  next = mean + std * noise
//   log_prob = mean over elements of -(next - mean)^2 / (2 std^2) - log std - log(2 pi)/2
// Raw device pointers, so that it links without LibTorch. B samples, D elements of one sample.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace thalweg::cuda {

/// The step, already reduced to what an element needs; one schedule for the whole batch.
struct FlowSdeCoefficients {
  float x_scale = 1.0f;  ///< 1 + g^2/(2 s) dt
  float v_scale = 0.0f;  ///< (1 + g^2 (1-s)/(2 s)) dt
  double std = 0.0;      ///< g sqrt(-dt); 0 makes a deterministic step, which has no log-prob (NaN)
};

/// From sigma s in (0, 1], the next sigma in [0, s) and the diffusion g >= 0, in double as the schedule is.
FlowSdeCoefficients flow_sde_coefficients(double sigma, double next_sigma, double diffusion);

/// Device tensors, float32, contiguous; outputs may not overlap inputs, except `next_BD`, which may be
/// `x_BD`.
struct FlowSdeStep {
  const float* x_BD = nullptr;
  const float* velocity_BD = nullptr;
  const float* noise_BD = nullptr;   ///< standard normal
  FlowSdeCoefficients coefficients;  ///< by value: nothing is copied to the device
  float* next_BD = nullptr;
  float* log_prob_B = nullptr;
  void* workspace =
      nullptr;  ///< flow_sde_workspace_bytes, zeroed once; every launch leaves it ready for the next
  std::int64_t samples = 0;   ///< B, 1 to 65535
  std::int64_t elements = 0;  ///< D, at least 1
};

std::size_t flow_sde_workspace_bytes(std::int64_t samples, std::int64_t elements);

/// Enqueues the step. One workspace serves one stream at a time. The numbers depend neither on the device nor
/// on the order in which blocks run. Returns cudaErrorInvalidValue for a null tensor or a size out of range.
cudaError_t flow_sde_step(const FlowSdeStep& step, cudaStream_t stream);

}  // namespace thalweg::cuda
