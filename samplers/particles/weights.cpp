#include "samplers/particles/weights.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

namespace thalweg {

at::Tensor relative_weights(const at::Tensor& log_weights_GN) {
  // A group without a finite weight: -inf - (lowest number) is still -inf, where -inf - -inf is not a number.
  const auto highest = log_weights_GN.amax(1, true).clamp_min(std::numeric_limits<double>::lowest());
  return (log_weights_GN - highest).exp();
}

at::Tensor effective_sample_size(const at::Tensor& log_weights_GN) {
  const auto w = relative_weights(log_weights_GN);
  const auto squares = w.square().sum(1);
  return at::where(squares > 0.0, w.sum(1).square() / squares, 0.0);
}

at::Tensor log_mean_exp(const at::Tensor& log_weights_GN) {
  return at::logsumexp(log_weights_GN, 1) - std::log(static_cast<double>(log_weights_GN.size(1)));
}

}  // namespace thalweg
