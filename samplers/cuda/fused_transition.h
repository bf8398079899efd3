// A transition as one kernel (transition_step.h) on LibTorch's tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include "samplers/kernel.h"

namespace thalweg::cuda {

struct FusedTransition {
  at::Tensor next_BCFHW;
  at::Tensor log_prob_B;  // offset - weight * mean over latent elements of (next - mean)^2
};

/// Whether a transition takes the kernel, which autograd does not see: float32 on a GPU, without a graph.
inline bool fuses(at::Device device, at::ScalarType dtype, bool needs_graph) {
  return device.is_cuda() && dtype == at::kFloat && !needs_graph;
}

/// x, v and noise: float32 on one GPU, of one shape; step.std positive. Queued on the current stream; nothing
/// waits. A build without CUDA asserts.
FusedTransition fused_transition(const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW,
                                 const at::Tensor& noise_BCFHW, const KernelStep& step,
                                 const LogProbForm& form);

}  // namespace thalweg::cuda
