// Samples with their outcome that updates draw from: those of the newest rollouts.
#pragma once

#include "pipelines/train_reward/reward_training.h"
#include "pipelines/training/state.h"

namespace thalweg {

/// Rows in pairs of one group and one noise level.
struct NoisedPairs {
  at::Tensor x_BCFHW, sigma_B;  // float32; on the CPU
  at::Tensor reward_B;          // float64; NaN: not scored
  std::vector<int64_t> prompt_B;
};

class OutcomePool {
 public:
  /// Keeps groups of `group_size`, at most `capacity` samples.
  OutcomePool(int64_t group_size, int64_t capacity) : group_size_(group_size), capacity_(capacity) {}

  void add(const Outcomes& outcomes);
  int64_t size() const { return static_cast<int64_t>(prompt_N_.size()); }
  /// Outcomes that are numbers.
  at::Tensor rewards() const;

  /// `pairs` pairs for the draw number `draw`, a pure function of (pool, seed, draw). Clean samples are
  /// noised at a uniform level of their pair; states that were kept are taken as they are.
  NoisedPairs pairs(uint64_t seed, int64_t draw, int64_t pairs) const;

  void state(RunState& state);

 private:
  int64_t group_size_, capacity_;
  at::Tensor x_NCFHW_, sigma_N_, reward_N_;  // sigma 0: clean
  std::vector<int64_t> prompt_N_;
};

/// x_t = (1 - t) x_0 + t e.
at::Tensor noised(const at::Tensor& x0_BCFHW, const at::Tensor& sigma_B, const at::Tensor& noise_BCFHW);

}  // namespace thalweg
