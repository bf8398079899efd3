// Adaptive layer norms: a linear layer of the time's embedding gives shifts, scales and gates.
#pragma once

#include <ATen/ATen.h>

#include "engine/models/fused.h"
#include "engine/models/layers.h"

namespace thalweg {

inline constexpr double kModulationEps = 1e-6;

/// Of one linear layer, [B,1,parts D].
inline at::Tensor modulation(const Linear& linear, const at::Tensor& silu_temb_BD) {
  return linear(silu_temb_BD).unsqueeze(1);
}

/// LayerNorm(x) (1 + scale) + shift.
inline at::Tensor modulated(const at::Tensor& x_BLD, const at::Tensor& shift_B1D,
                            const at::Tensor& scale_B1D) {
  return modulated_layer_norm(x_BLD, shift_B1D, scale_B1D, kModulationEps);
}

/// The norm before the last layer, diffusers' AdaLayerNormContinuous: scale stands before shift.
inline at::Tensor modulated_output(const Linear& linear, const at::Tensor& x_BLD,
                                   const at::Tensor& silu_temb_BD) {
  const auto parts = modulation(linear, silu_temb_BD).chunk(2, -1);
  return modulated(x_BLD, parts[1], parts[0]);
}

}  // namespace thalweg
