// Log-weights of particles: float64 on the CPU, [G,N], groups apart from one another. -inf: masked.
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

/// (sum w)^2 / sum w^2 of each group: 1 to N; exactly N for equal weights, 0 where all are masked.
at::Tensor effective_sample_size(const at::Tensor& log_weights_GN);

/// log (1/N sum w) of each group; -inf where all are masked.
at::Tensor log_mean_exp(const at::Tensor& log_weights_GN);

/// w over the largest w of its group, in [0,1]; 0 where all are masked.
at::Tensor relative_weights(const at::Tensor& log_weights_GN);

}  // namespace thalweg
