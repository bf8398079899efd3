#include "engine/models/embedders.h"

#include <ATen/ATen.h>

#include <cmath>

namespace thalweg {

at::Tensor timestep_wave(const at::Tensor& timestep_B, int64_t width) {
  const auto half = width / 2;
  const auto frequency =
      at::exp(at::arange(half, timestep_B.options()) * (-std::log(10000.0) / static_cast<double>(half)));
  const auto angle = timestep_B.unsqueeze(1) * frequency.unsqueeze(0);
  return at::cat({angle.cos(), angle.sin()}, 1);
}

Embedder Embedder::bind(Binder b, int64_t in, int64_t width) {
  return {b.linear("linear_1", in, width, true, Init::xavier_uniform),
          b.linear("linear_2", width, width, true, Init::xavier_uniform)};
}

at::Tensor Embedder::operator()(const at::Tensor& x) const {
  return linear_2(at::silu(linear_1(x)));
}

}  // namespace thalweg
