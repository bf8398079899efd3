#include "engine/advantages/gradient_weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace thalweg {

std::vector<double> gradient_influence(const at::Tensor& gram_KK) {
  const auto sums_K = gram_KK.sum(1).contiguous();
  return {sums_K.const_data_ptr<double>(), sums_K.const_data_ptr<double>() + sums_K.numel()};
}

std::vector<double> influenced_weights(const std::vector<double>& weights_K,
                                       const std::vector<double>& influence_K, double rate, double floor) {
  const auto K = weights_K.size();
  TORCH_CHECK(influence_K.size() == K && floor >= 0.0 && floor * static_cast<double>(K) <= 1.0 + 1e-9,
              "one influence a weight, and floors of at most 1 together");
  std::vector<double> weights(K);
  const double largest = *std::max_element(influence_K.begin(), influence_K.end());
  double total = 0.0, above = 0.0, missing = 0.0;
  for (size_t k = 0; k < K; ++k)
    total += weights[k] = weights_K[k] * std::exp(rate * (influence_K[k] - largest));
  for (auto& w : weights) {
    w /= total;
    above += std::max(w - floor, 0.0);
    missing += std::max(floor - w, 0.0);
  }
  for (auto& w : weights) w = w <= floor ? floor : w - missing * (w - floor) / above;
  return weights;
}

}  // namespace thalweg
