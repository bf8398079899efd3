// Training on clean latents: a forward at noise levels that each sample draws for itself. What NFT, AWM and
// their like share.
#pragma once

#include "pipelines/training/updates.h"

namespace thalweg {

/// A noised batch: x_t = (1 - sigma) x_0 + sigma e, and e. The velocity to match is e - x_0.
struct Noised {
  at::Tensor x_t_BCFHW, noise_BCFHW;
  Step step;
};

/// The `t`-th noising of samples: their noise depends on slot and t alone.
Noised noised(const Training& training, const at::Tensor& x0_BCFHW, const at::Tensor& sigma_B,
              const std::vector<int64_t>& slots, int64_t t);

}  // namespace thalweg
