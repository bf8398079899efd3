#include "pipelines/methods/matching.h"

#include <ATen/ATen.h>

#include "engine/core/device.h"
#include "engine/core/rng.h"

namespace thalweg {

Noised noised(const Training& training, const at::Tensor& x0, const at::Tensor& sigma_B,
              const std::vector<int64_t>& slots, int64_t t) {
  const auto sigma = sigma_B.to(x0.scalar_type()).view({-1, 1, 1, 1, 1});
  const auto noise = normal_noise(training.seed(), Purpose::training_noise, slots, static_cast<uint64_t>(t),
                                  x0.sizes().slice(1), x0.scalar_type(), training.device());
  return {(1.0 - sigma) * x0 + sigma * noise, noise, {sigma_B, sigma_B, -1, slots}};
}

}  // namespace thalweg
