// Gaussian mixtures on the line as data laws of a flow: with every element of x_0 drawn from one of them, the
// velocity, the score and the law of x_0 given x_t are sums over components (x_t = (1-t) x_0 + t e). Truth
// for samplers and steering methods.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace thalweg {

/// Weights (positive, sum 1), means and standard deviations (positive) of K components.
struct Mixture {
  std::vector<double> weights, means, stds;

  int64_t components() const { return static_cast<int64_t>(weights.size()); }
};

/// The same as float64 tensors [..., K], which broadcast against x[..., 1]: [K], or [B,1,1,1,1,K] where
/// samples have mixtures of their own. Gradients flow.
struct MixtureLaw {
  at::Tensor log_weights, means, stds;
};

MixtureLaw mixture_law(const Mixture& mixture);

/// The law of x_0 given x_t is a mixture too. All have the shape of x and K; sigma broadcasts against x.
struct MixturePosterior {
  at::Tensor log_weights;  // log gamma_k, normalised
  at::Tensor means;        // mu_k
  at::Tensor variances;    // tau_k^2; 0 at t = 0
};

MixturePosterior mixture_posterior(const MixtureLaw& law, const at::Tensor& x, const at::Tensor& sigma);

/// log density of x_t, element by element, and log w_k + log p(x_t | k) [..., K] whose logsumexp it is.
at::Tensor mixture_log_density(const MixtureLaw& law, const at::Tensor& x, const at::Tensor& sigma);
at::Tensor mixture_log_joint(const MixtureLaw& law, const at::Tensor& x, const at::Tensor& sigma);

/// v = E[e - x_0 | x_t] in float64, finite on the whole of t in [0,1].
at::Tensor mixture_velocity(const MixtureLaw& law, const at::Tensor& x, const at::Tensor& sigma);

/// E[x_0 | x_t] and E[e | x_t]: x_t = (1-t) x_0 + t e holds between them.
at::Tensor mixture_clean_mean(const MixtureLaw& law, const at::Tensor& x, const at::Tensor& sigma);
at::Tensor mixture_noise_mean(const MixtureLaw& law, const at::Tensor& x, const at::Tensor& sigma);

}  // namespace thalweg
