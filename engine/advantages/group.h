// Group-relative advantages (GRPO, arXiv 2402.03300 section 4.1; Flow-GRPO's variant with a global
// deviation).
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace thalweg {

enum class DeviationOver { group, batch };

/// The deviation that advantages are divided by, and the bound they are clamped to.
struct GroupNorm {
  DeviationOver deviation = DeviationOver::batch;
  double clip = 5.0;
  int64_t ddof = 0;    // 1: divided by one sample less (DanceGRPO); a group of one then has none
  double eps = 1e-4;   // added to the deviation
  double least = 0.0;  // a group whose own deviation is below has advantages 0 (BranchGRPO)
  /// Share of a group's smallest rewards that are left out of its mean and deviation (MixGRPO), rounded
  /// down; one sample at least stays.
  double trimmed = 0.0;
};

struct GroupAdvantages {
  at::Tensor values_B;  // float64, 0 where masked
  at::Tensor used_B;    // bool: a scored sample of a group with at least two scored samples
  double zero_std_ratio =
      0.0;  // share of groups of two or more scored samples whose rewards are all the same
  double reward_std_mean = 0.0;  // mean over those groups of the group's deviation
};

/// Asserts what the losses rely on: every advantage is a finite number, what is not used has advantage 0, and
/// no sample without a valid reward is used.
void check_masked(const GroupAdvantages& advantages, const at::Tensor& valid_B);

/// A = (r - mean of its group) / (std + eps), clamped to +-clip. Deviation over the group or over all scored
/// samples. Samples that are not valid enter no statistic and get no advantage. `group_B` are integer ids.
/// Asserts that valid rewards are finite.
GroupAdvantages group_advantages(const at::Tensor& reward_B, const at::Tensor& valid_B,
                                 const std::vector<int64_t>& group_B, const GroupNorm& norm);

}  // namespace thalweg
