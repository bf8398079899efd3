// The loss of CRD, Centered Reward Distillation (arXiv 2603.14128), as its authors train: implicit rewards
// from matching errors, the reward itself and the implicit one centred over the batch (uniform weights), and
// their squared difference:
//   loss = mean over samples of (scale / beta) (beta (r_th - mean r_th) - (r - mean r))^2.
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

/// r_th = -(|v - v*|^2 / w - |v_old - v*|^2 / w_old), means over elements, [B]: how much likelier the policy
/// makes a sample than the old one. w = mean |v - v*| each, without gradient, floor 1e-5; `target` is v* = e
/// - x_0. v_old is a constant.
at::Tensor crd_implicit_reward(const at::Tensor& v, const at::Tensor& v_old, const at::Tensor& target);

/// The centred difference beta (r_th - mean r_th) - (r - mean r), [T,B]: means over the samples that are
/// `used`; 0 for the others. Constants. r in [0, 1], [B].
at::Tensor crd_residual(const at::Tensor& r_th_TB, const at::Tensor& r_B, const at::Tensor& used_B,
                        double beta);

/// The loss of each sample for its residual at the policy as it is. Its gradient is that of the coupled loss,
/// 2 scale residual_i grad r_th,i: what the mean of r_th adds vanishes, since residuals sum to 0.
at::Tensor crd_loss(const at::Tensor& r_th_B, const at::Tensor& residual_B, double beta, double scale);

}  // namespace thalweg
