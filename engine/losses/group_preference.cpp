#include "engine/losses/group_preference.h"

#include <ATen/ATen.h>

namespace thalweg {
namespace {

// Of a quantity that grows as a sample becomes likelier: whether it is past its bound in the direction of A.
at::Tensor past(const at::Tensor& likelihood, const at::Tensor& advantage, double above, double below) {
  return at::logical_or(at::logical_and(advantage > 0.0, likelihood > above),
                        at::logical_and(advantage < 0.0, likelihood < below));
}

}  // namespace

at::Tensor dgpo_group_weight(const at::Tensor& l_TB, const at::Tensor& l_ref_TB,
                             const at::Tensor& advantage_B, const at::Tensor& group_B,
                             const at::Tensor& used_B, double beta) {
  if (group_B.numel() == 0) return at::empty_like(l_TB);
  const auto groups = group_B.max().item<int64_t>() + 1;
  const auto told_TB = at::where(used_B, advantage_B * beta * (l_TB - l_ref_TB), 0.0).detach();
  const auto sums_TG = at::zeros({l_TB.size(0), groups}, told_TB.options()).index_add(1, group_B, told_TB);
  const auto sizes_G =
      at::zeros({groups}, told_TB.options()).index_add(0, group_B, used_B.to(told_TB.scalar_type()));
  return (sums_TG / sizes_G.clamp_min(1.0)).sigmoid().index_select(1, group_B);
}

at::Tensor dgpo_clipped(const at::Tensor& l, const at::Tensor& l_old, const at::Tensor& advantage,
                        double clip_range) {
  return past((l_old - l).exp(), advantage, 1.0 + clip_range, 1.0 - clip_range);
}

at::Tensor dgpo_too_far(const at::Tensor& l, const at::Tensor& l_base, const at::Tensor& distance,
                        const at::Tensor& advantage, double limit) {
  return at::logical_and(distance > limit, past(l_base - l, advantage, 0.0, 0.0));
}

}  // namespace thalweg
