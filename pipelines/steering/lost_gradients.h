// Gradients that get lost on their way back through the model: they would only show as samples that nothing
// pulls.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace thalweg {

/// Whether all numbers of a sample are finite: bool [B] on the CPU.
at::Tensor finite_samples(const at::Tensor& x);

/// f(x). Where gradients flow, `lost` is told in the backward pass which samples came in with a finite
/// gradient of f(x) and leave without one of x, bool [B] on the CPU; it is not told of none. `lost` lives as
/// long as the graph.
at::Tensor watching_gradients(const at::Tensor& x, const std::function<at::Tensor(const at::Tensor&)>& f,
                              std::function<void(const at::Tensor& lost_B)> lost);

}  // namespace thalweg
