// Flow-DPO (VideoReward, Liu et al. 2025, arXiv 2501.13918, equation 9; Diffusion-DPO, arXiv 2311.12908):
// matching errors of a policy and its reference stand for log-probabilities. Errors are MEANS of
// (v - (e - x_0))^2 over elements, for both samples of a pair at one noise and one noise level.
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

/// What the policy has learnt of a sample: its matching error, and the reference's, [P].
struct DpoErrors {
  at::Tensor policy_P, reference_P;
};

/// z = -(beta/2) [(e - e_ref) of the winner - (e - e_ref) of the loser], [P]: the log-odds by which the
/// policy prefers the winner more than the reference does. The reference's are constants.
at::Tensor dpo_log_odds(const DpoErrors& winner, const DpoErrors& loser, double beta);

/// -log sigmoid(z - margin), a margin as in ODPO (arXiv 2402.10571): how sure of the pair the policy is to
/// be. Ties as Rao and Kupper (1967) have them, in DPO: arXiv 2409.17431. With their theta >= 1,
///   P(winner) = sigmoid(z - log theta),
///   P(tie) = (theta^2 - 1) sigmoid(z - log theta) sigmoid(-z - log theta),
/// and the loss is -log of what was seen (`tie_P` bool; a tie has no margin). theta = 1: there are no ties,
/// and the loss of one is infinite.
at::Tensor dpo_loss(const at::Tensor& z_P, const at::Tensor& margin_P, const at::Tensor& tie_P, double theta);

}  // namespace thalweg
