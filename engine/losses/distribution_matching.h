// What few-step generators learn from (DMD2, Yin et al. 2024, arXiv 2405.14867; TDM, Luo et al. 2025, arXiv
// 2503.06674): the states of a trajectory are noised again along the path that leads to them, and the
// generator's clean estimate is drawn to where the teacher's estimate differs from the critic's.
#pragma once

#include <ATen/core/Tensor.h>

namespace thalweg {

/// p(x_tau | x_s) of the path x_t = (1-t) x_0 + t e for s < tau: x_tau = al x_s + be e with
/// al = (1-tau) / (1-s), be^2 = tau^2 - al^2 s^2. Float64 [B]; s in [0, 1), tau in (s, 1]. From s = 0 they
/// are 1 - tau and tau, to the bit.
struct ConditionalPath {
  at::Tensor al_B, be_B;
};
ConditionalPath conditional_path(const at::Tensor& tau_B, const at::Tensor& s_B);

/// d x_tau / d tau of that path at fixed x_s and e: -x_s / (1-s) + (e / be) (tau + s^2 al / (1-s)). Its size
/// grows without bound as tau nears s > 0.
at::Tensor conditional_velocity(const at::Tensor& x_s, const at::Tensor& noise, const at::Tensor& tau_B,
                                const at::Tensor& s_B);

/// mean over elements of d^2, or of sqrt(d^2 + huber^2) - huber where huber > 0, with d = x_0m - target and
/// target = x_0m + mu_real - mu_fake a constant; divided by mean |x_0m - mu_real| (floor 1e-5), [B]. x_0m is
/// the generator's clean estimate, with its gradient; the others are those of x_tau.
at::Tensor distribution_matching_loss(const at::Tensor& clean, const at::Tensor& mu_real,
                                      const at::Tensor& mu_fake, double huber);

}  // namespace thalweg
