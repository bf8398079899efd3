#include "pipelines/methods/matching.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "engine/core/device.h"
#include "engine/core/rng.h"

namespace thalweg {

at::Tensor shuffled_sigmas(const Training& training, const std::vector<double>& of, int64_t times,
                           const std::vector<int64_t>& slots) {
  const auto n = of.size();
  auto sigmas_TB = at::empty({times, static_cast<int64_t>(slots.size())}, at::kDouble);
  auto out = sigmas_TB.accessor<double, 2>();
  std::vector<size_t> order(n);
  std::vector<uint64_t> key(n);
  for (size_t b = 0; b < slots.size(); ++b) {
    std::iota(order.begin(), order.end(), size_t{0});
    for (size_t i = 0; i < n; ++i)
      key[i] = random_bits(training.seed(), Purpose::training_sigma, static_cast<uint64_t>(slots[b]), i);
    std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return key[i] < key[j]; });
    for (int64_t t = 0; t < times; ++t)
      out[t][static_cast<int64_t>(b)] = of[order[static_cast<size_t>(t) % n]];
  }
  return on_device(sigmas_TB, training.device());
}

Noised noised(const Training& training, const at::Tensor& x0, const at::Tensor& sigma_B,
              const std::vector<int64_t>& slots, int64_t t) {
  const auto sigma = sigma_B.to(x0.scalar_type()).view({-1, 1, 1, 1, 1});
  const auto noise = normal_noise(training.seed(), Purpose::training_noise, slots, static_cast<uint64_t>(t),
                                  x0.sizes().slice(1), x0.scalar_type(), training.device());
  return {(1.0 - sigma) * x0 + sigma * noise, noise, {sigma_B, sigma_B, -1, slots}};
}

}  // namespace thalweg
