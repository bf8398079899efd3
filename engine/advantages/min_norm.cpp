#include "engine/advantages/min_norm.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace thalweg {
namespace {

// Over the plain simplex: mass goes from the worst vector that has some to the best one, as much as lowers
// the norm most, until no exchange would (pairwise Frank-Wolfe with an exact line search).
std::optional<std::vector<double>> exchanged(const at::Tensor& gram_KK) {
  constexpr int64_t kMost = 200000;
  constexpr double kTolerance = 1e-13;  // of the largest product
  const auto G = gram_KK.accessor<double, 2>();
  const int64_t K = gram_KK.size(0);
  std::vector<double> alpha(static_cast<size_t>(K), 1.0 / static_cast<double>(K));
  const auto at = [&](int64_t k) -> double& { return alpha[static_cast<size_t>(k)]; };
  const double scale = std::max(gram_KK.abs().max().item<double>(), 1e-300);
  for (int64_t step = 0; step < kMost; ++step) {
    int64_t worst = -1, best = -1;
    double high = 0.0, low = 0.0;
    for (int64_t k = 0; k < K; ++k) {
      double product = 0.0;  // of u_k with the combination
      for (int64_t j = 0; j < K; ++j) product += G[k][j] * at(j);
      if (at(k) > 0.0 && (worst < 0 || product > high)) worst = k, high = product;
      if (best < 0 || product < low) best = k, low = product;
    }
    if (high - low <= kTolerance * scale) return alpha;
    const double curvature = G[worst][worst] + G[best][best] - 2.0 * G[worst][best];
    const double moved = curvature > 0.0 ? std::min((high - low) / curvature, at(worst)) : at(worst);
    at(best) += moved;
    at(worst) = moved < at(worst) ? at(worst) - moved : 0.0;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::vector<double>> min_norm(const at::Tensor& gram_KK, double floor) {
  TORCH_CHECK(gram_KK.dim() == 2 && gram_KK.size(0) == gram_KK.size(1) && gram_KK.size(0) > 0 &&
                  gram_KK.scalar_type() == at::kDouble,
              "inner products are a square matrix in float64");
  const auto K = gram_KK.size(0);
  const double left = 1.0 - static_cast<double>(K) * floor;
  TORCH_CHECK(floor >= 0.0 && left > -1e-9, "floors are more than 1 together");
  if (!gram_KK.isfinite().all().item<bool>()) return std::nullopt;
  // alpha = floor + left beta, beta on the plain simplex: the same problem for left u_k + floor sum_j u_j.
  const auto shift = std::max(left, 0.0) * at::eye(K, gram_KK.options()) + floor;
  auto alpha = exchanged(at::mm(at::mm(shift, gram_KK), shift).contiguous());
  if (alpha)
    for (auto& a : *alpha) a = floor + std::max(left, 0.0) * a;
  return alpha;
}

}  // namespace thalweg
