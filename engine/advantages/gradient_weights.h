// Gradient-based reward weights (arXiv 2509.11452, section on weight optimisation): a reward whose gradient
// goes with those of all rewards gets more weight, by mirror descent on the simplex.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace thalweg {

/// I_k = g_k . sum_j g_j, from the inner products [K,K] (float64 on the CPU).
std::vector<double> gradient_influence(const at::Tensor& gram_KK);

/// softmax(log w + rate I), then no weight below `floor` (in [0, 1/K]) and 1 together: what the small ones
/// are given, the others lose in proportion to what they have above it.
std::vector<double> influenced_weights(const std::vector<double>& weights_K,
                                       const std::vector<double>& influence_K, double rate, double floor);

}  // namespace thalweg
