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

/// The Euler-Maruyama step of the SDE with diffusion g >= 0 and the ODE's marginals (Song et al. 2021, arXiv
/// 2011.13456, as a flow): mean = x (1 + g^2/(2s) dt) + v (1 + g^2 (1-s)/(2s)) dt, std = g sqrt(-dt).
KernelStep reverse_sde(const Schedule& schedule, int64_t index, double diffusion);

/// Back to noise level s' with `std` <= s' of it drawn anew (DDIM, Song et al. 2021, arXiv 2010.02502,
/// equation 12): mean = (1-s') x_0 + sqrt(s'^2 - std^2) e, with x_0 = x - s v and e = x + (1-s) v. Where v is
/// exact, s' is the noise that is left.
KernelStep renoised(const Schedule& schedule, int64_t index, double std);

/// g = std / sqrt(s - s'): the diffusion of an SDE whose step has this noise.
double diffusion(const KernelStep& step, const Schedule& schedule, int64_t index);

/// x_scale x + v_scale v, and std. Without noise this is Euler's step, bit for bit.
Transition transition(const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW, const KernelStep& step);

/// The velocity with which the mean of the step is `shift` g further.
at::Tensor pushed(const at::Tensor& v_BCFHW, const at::Tensor& g_BCFHW, double shift, const KernelStep& step);

/// A log-probability: offset - weight * mean over latent elements of (next - mean)^2 (decision 0001).
struct LogProbForm {
  double weight = 0.0, offset = 0.0;
};
/// The form for a step's std, which must be positive.
using LogProb = LogProbForm (*)(double std);

/// The Gaussian's own density: -(next - mean)^2 / (2 std^2) - log std - log(2 pi)/2.
LogProbForm gaussian(double std);

/// Of `form`, [B]. `next` is a constant.
at::Tensor log_prob(const at::Tensor& next_BCFHW, const Transition& transition, LogProb form);

}  // namespace thalweg
