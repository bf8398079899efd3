// The loss of DiffusionNFT (Zheng et al. 2025, arXiv 2509.16117, equation 7) in the self-normalised x0 form
// that its authors train with (online_rl notes: x0 space, per-sample weight, guidance strength `beta`).
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

/// Which of the advantages teach (the modes of the authors' code). Beyond `all`, the others change r: those
/// of positive_only and negative_only are 0 on the other side (r = 1/2: nothing is learnt from them), those
/// of one_only 1 above 0 and else 0, those of binary their signs.
enum class NftMode { all, positive_only, negative_only, one_only, binary };
at::Tensor nft_advantage(const at::Tensor& advantage_B, NftMode mode);

/// r_B = clip(A / (2 adv_clip_max) + 1/2, 0, 1): the optimality probability of each sample.
at::Tensor nft_optimality(const at::Tensor& advantage_B, double adv_clip_max);

/// mean over elements of (predicted - truth)^2 divided by the mean of |predicted - truth|, which has no
/// gradient (floor 1e-5), [B].
at::Tensor self_normalised_error(const at::Tensor& predicted, const at::Tensor& truth);

/// v+ = b v + (1-b) v_old and v- = (1+b) v_old - b v predict x0 as x_t - sigma v+-; each squared error is
/// self-normalised, and the two are mixed by r:
///   scale [r L+ + (1-r) L-] / b,   [B].
/// v_old is a constant; sigma_B broadcasts over x. All in float32 or float64.
at::Tensor nft_loss(const at::Tensor& v, const at::Tensor& v_old, const at::Tensor& x_t, const at::Tensor& x0,
                    const at::Tensor& sigma_B, const at::Tensor& r_B, double beta, double scale);

/// mean over elements of (v - v_ref)^2, [B]: DiffusionNFT's KL term in velocity space.
at::Tensor velocity_kl(const at::Tensor& v, const at::Tensor& v_reference);

}  // namespace thalweg
