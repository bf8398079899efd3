// What a process reward is fitted to.
#pragma once

#include <ATen/core/Tensor.h>

#include "engine/core/chosen.h"

namespace thalweg {

/// Units of the network: reward = offset + scale * u.
struct RewardUnits {
  double offset = 0.0, scale = 1.0;

  at::Tensor of_reward(const at::Tensor& reward) const { return (reward - offset) / scale; }
  at::Tensor to_reward(const at::Tensor& u) const { return u * scale + offset; }
};

class ProcessObjective {
 public:
  virtual ~ProcessObjective() = default;
  virtual std::unique_ptr<ProcessObjective> clone() const = 0;  // see Cloneable
  virtual void describe(Fields&) {}
  /// Of the first outcomes [N], float64, all of them numbers: the network starts at 0 near their middle.
  virtual RewardUnits units(const at::Tensor& reward_N) const = 0;
  /// [B]; rows come in pairs of one prompt and one noise level. `a_B` are outcomes in the network's units,
  /// `used_B` says which of them count.
  virtual at::Tensor loss(const at::Tensor& a_B, const at::Tensor& u_B, const at::Tensor& used_B) const = 0;
};

/// "soft_value", "regression", "bradley_terry".
const Chosen<ProcessObjective>::Table& objective_table();

}  // namespace thalweg
