// The fused Flow-SDE step (flow_sde_step.h) on LibTorch's tensors.
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg::cuda {

struct FusedFlowSde {
  at::Tensor next_BCFHW;
  at::Tensor log_prob_B;  // mean over latent elements; NaN for a step without noise
};

/// x, v and noise: float32 on one GPU, of one shape. sigma in (0, 1], next_sigma in [0, sigma), diffusion g
/// >= 0. Queued on the current stream; nothing waits. A build without CUDA asserts.
FusedFlowSde fused_flow_sde(const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW,
                            const at::Tensor& noise_BCFHW, double sigma, double next_sigma, double diffusion);

}  // namespace thalweg::cuda
