// The loss of Flow-DPPO (arXiv 2606.11025): a trust region by divergence, in place of the clip of the ratio.
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

struct DppoLoss {
  at::Tensor loss_B;     // -A ratio, 0 where dropped
  at::Tensor ratio_B;    // detached
  at::Tensor dropped_B;  // bool
};

/// A term is dropped where the policies are apart (divergence >= threshold) and its gradient drives them
/// further apart: ratio > 1 with A > 0, or ratio < 1 with A < 0. log_prob_B alone carries the gradient.
/// divergence_B: KL of the two transitions a latent element (gaussian_kl with the step's deviation).
DppoLoss dppo_loss(const at::Tensor& log_prob_B, const at::Tensor& old_log_prob_B,
                   const at::Tensor& divergence_B, const at::Tensor& advantage_B, double threshold);

}  // namespace thalweg
