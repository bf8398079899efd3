// The point of least norm among the convex combinations of vectors, found from their inner products alone:
// the direction along which all of them have at least |d|^2 (MGDA, Desideri 2012; MARBLE, arXiv 2605.06507).
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace thalweg {

/// alpha minimising |sum_k alpha_k u_k|^2 / 2, alpha_k >= floor and 1 together; `gram_KK` the inner products
/// u_i . u_j, float64 on the CPU. floor in [0, 1/K]. With floor 0 the result d = sum_k alpha_k u_k has
/// d . u_k >= |d|^2 for all k, with equality where alpha_k > 0. None where the inner products are not finite
/// or the search does not end.
std::optional<std::vector<double>> min_norm(const at::Tensor& gram_KK, double floor = 0.0);

}  // namespace thalweg
