#include "engine/losses/rwr.h"

#include <ATen/ATen.h>

#include <limits>

namespace thalweg {

RwrWeights rwr_weights(const at::Tensor& reward_B, const at::Tensor& used_B, double beta) {
  const double n = used_B.sum().item<double>();
  if (n == 0.0) return {at::zeros_like(reward_B, at::kDouble), 0.0};
  const auto r_B =
      at::where(used_B, reward_B.detach().to(at::kDouble), -std::numeric_limits<double>::infinity());
  const auto w_B = ((r_B - r_B.max()) / beta).exp();
  const double sum = w_B.sum().item<double>();
  return {w_B * (n / sum), sum * sum / (n * w_B.square().sum().item<double>())};
}

}  // namespace thalweg
