// The best clean latents of all candidates so far.
#pragma once

#include <ATen/ATen.h>

#include <cmath>

namespace thalweg {

/// Of each sample, with its reward (-inf: none was scored).
struct BestEstimate {
  at::Tensor x0_BCFHW, reward_B;

  void offer(const at::Tensor& x0, const at::Tensor& offered_B) {
    if (!x0_BCFHW.defined()) {
      x0_BCFHW = x0;
      reward_B = offered_B;
      return;
    }
    const auto better_B = offered_B > reward_B;
    x0_BCFHW = at::where(better_B.to(x0.device()).view({-1, 1, 1, 1, 1}), x0, x0_BCFHW);
    reward_B = at::where(better_B, offered_B, reward_B);
  }

  // Of k candidates of each sample, [k*B,...].
  void offer_all(const at::Tensor& x0, const at::Tensor& reward_kB) {
    const int64_t batch = reward_kB.size(1);
    const auto [reward, index_B] = at::where(reward_kB.isfinite(), reward_kB, -INFINITY).max(0);
    const auto rows = index_B * batch + at::arange(batch, at::kLong);
    offer(x0.index_select(0, rows.to(x0.device())), reward);
  }
};

}  // namespace thalweg
