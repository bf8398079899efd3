// The soft value of a noised state, u(x_t) = log E[e^{r/tau} | x_t]: the exact process reward of the tilt
// p e^{r/tau} (Doob's h-transform, log h_t). Regressing r itself gives E[r | x_t], its limit for large tau.
//
// With a = r/tau and y = e^a the loss is logistic, of odds e^u against y:
//   l(a, u) = softplus(u) + y softplus(-u) - (its value at u = a),
//   d E[l]/du = (e^u - E[y | x_t]) / (1 + e^u),
// convex in u, so that its only minimiser is u = log E[y | x_t]. The gradient lies between -y and 1, whatever
// u is, and r needs no bound. The Itakura-Saito divergence e^{a-u} - (a-u) - 1, with the same minimiser,
// weighs states alike whose values are small and large; its gradient e^{a-u} - 1 has no bound, and on the
// embedded model it ran away. Here small values weigh less: as e^u, below the units' mean.
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

/// l(a, u), [B]; `a_B` is a constant, relative to the log of the mean of y or so.
at::Tensor soft_value_loss(const at::Tensor& a_B, const at::Tensor& u_B);

}  // namespace thalweg
