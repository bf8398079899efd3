// A transition kernel: how a sampler goes from one noise level to the next. Each kernel of the literature is
// one file in samplers/kernels; all of them are Gaussians whose mean is affine in x and v (KernelStep).
#pragma once

#include <functional>

#include "engine/core/values.h"

namespace thalweg {

/// The transition of step `index` of a schedule.
using Kernel = std::function<KernelStep(const Schedule& schedule, int64_t index)>;

/// A Gaussian transition; std is one number for the whole batch.
struct Transition {
  at::Tensor mean_BCFHW;
  double std = 0.0;
};

/// Euler's step of the ODE: {1, s' - s, 0}.
KernelStep euler(const Schedule& schedule, int64_t index);

/// x_scale x + v_scale v, and std. Without noise this is Euler's step, bit for bit.
Transition transition(const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW, const KernelStep& step);

/// Mean over latent elements of the Gaussian's log-density, [B]. `next` is a constant. std must be positive.
at::Tensor gaussian_log_prob(const at::Tensor& next_BCFHW, const Transition& transition);

}  // namespace thalweg
