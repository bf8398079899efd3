// Gradients by central differences, in float64.
#pragma once

#include <ATen/ATen.h>

#include <functional>

namespace thalweg {

/// Gradient of the scalar `f` at `x`, by central differences of width `h` in every element.
inline at::Tensor finite_difference(const std::function<at::Tensor(const at::Tensor&)>& f,
                                    const at::Tensor& x, double h = 1e-5) {
  auto gradient = at::zeros_like(x).contiguous();
  for (int64_t i = 0; i < x.numel(); ++i) {
    auto up = x.detach().clone(), down = x.detach().clone();
    up.view(-1)[i] += h;
    down.view(-1)[i] -= h;
    gradient.view(-1)[i] = (f(up).item<double>() - f(down).item<double>()) / (2.0 * h);
  }
  return gradient;
}

}  // namespace thalweg
