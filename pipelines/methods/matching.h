// Training on clean latents: a forward at noise levels that each sample draws for itself. What NFT, AWM and
// their like share.
#pragma once

#include "pipelines/training/updates.h"

namespace thalweg {

/// Sigmas [T,B], float64 on the device: each sample takes those of `of` in an order of its own (slot), the
/// first `times` of it; the same sample always the same ones.
at::Tensor shuffled_sigmas(const Training& training, const std::vector<double>& of, int64_t times,
                           const std::vector<int64_t>& slots);

/// A noised batch: x_t = (1 - sigma) x_0 + sigma e, and e - x_0, the velocity to match.
struct Noised {
  at::Tensor x_t_BCFHW, noise_BCFHW;
  Step step;
};

/// The `t`-th noising of samples: their noise depends on slot and t alone.
Noised noised(const Training& training, const at::Tensor& x0_BCFHW, const at::Tensor& sigma_B,
              const std::vector<int64_t>& slots, int64_t t);

}  // namespace thalweg
