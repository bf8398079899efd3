// Gradients that guidance follows: each of them a value at x_t and its slope there, with the velocity of the
// step from the same call.
#pragma once

#include "samplers/reward_gradient.h"

namespace thalweg {

/// What is known at x_t, with the gradient.
using RewardGradient = std::function<Lookahead(const Velocity& velocity, const at::Tensor& x_BCFHW,
                                               const Step& step, const Conditioning& conditioning)>;

/// Of a process reward: grad r(x_t, t).
RewardGradient process_gradient(RewardValue process_reward);

/// Of a clean reward through reward, decoder and network: grad_x r(x0hat(x)).
RewardGradient clean_gradient(RewardValue reward);

/// The same for the rule t/(1-t) g: the first step's gradient is that of below_one(), beside the velocity of
/// the step itself. Of a clean reward it then costs a velocity of its own.
RewardGradient process_gradient_below_one(RewardValue process_reward);
RewardGradient clean_gradient_below_one(RewardValue reward);

/// d x0hat / dx where data are standard normal: (1-t) / ((1-t)^2 + t^2), [B,1,1,1,1] in the dtype of x. For
/// gradients at x0hat that do not pass through the network (Pokle et al. 2023, arXiv 2310.04432).
at::Tensor normal_jacobian(const at::Tensor& x_BCFHW, const Step& step);

}  // namespace thalweg
