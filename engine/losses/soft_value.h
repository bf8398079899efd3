// The soft value of a noised state, u(x_t) = log E[e^{r/tau} | x_t]: the exact process reward of the tilt
// p e^{r/tau} (Doob's h-transform, log h_t). Regressing r itself gives E[r | x_t], its limit for large tau.
//
// The loss is the Itakura-Saito divergence of e^{r/tau} from e^u, with a = r/tau:
//   l(a, u) = e^{a-u} - (a - u) - 1,   d E[l]/du = 1 - e^{-u} E[e^a | x_t],
// so that its only minimiser is u = log E[e^a | x_t]; it is convex in u and 0 where a = u. It asks for no
// bound of r, and r + c only moves u by c/tau: prompts whose rewards are low count as much as others, which a
// squared or a Poisson loss of e^a would pass over. Its price: a sample far above u pulls with e^{a-u}.
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

/// l(a, u), [B]; `a_B` is a constant.
at::Tensor soft_value_loss(const at::Tensor& a_B, const at::Tensor& u_B);

}  // namespace thalweg
