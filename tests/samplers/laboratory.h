// Closed forms of samplers and steering methods on Gaussian mixtures (steering_and_distillation.md 12). Every
// element of x is drawn from the mixture on its own; one-dimensional tests have latents [B,1,1,1,1]. With D
// elements the reward c * mean(x) tilts each element by c / D. Everything is float64; sigma broadcasts
// against x.
#pragma once

#include "engine/models/mixture/mixture.h"
#include "samplers/sampler.h"

namespace thalweg {

/// Weights .6, .4; means -1.5, 1; standard deviations .5, .35.
Mixture reference_mixture();
Mixture gaussian(double mean, double std);

double mean_of(const Mixture& mixture);
double variance_of(const Mixture& mixture);
/// P(x_0 > threshold).
double probability_above(const Mixture& mixture, double threshold = 0.0);

/// The mixture's velocity, in the dtype of x.
Velocity velocity_of(const Mixture& mixture);
/// Score of x_t's law: -E[e | x_t] / t, finite at t = 0.
at::Tensor score_of(const Mixture& mixture, const at::Tensor& x, const at::Tensor& sigma);
at::Tensor cdf_of(const Mixture& mixture, const at::Tensor& x);
at::Tensor quantile_of(const Mixture& mixture, const at::Tensor& u);

/// x_0 from uniforms in (0,1) and normals of one shape: from the data law, or given x_t (their shape is that
/// of x; further leading axes draw several).
at::Tensor data_draw(const Mixture& mixture, const at::Tensor& uniform, const at::Tensor& normal);
at::Tensor posterior_draw(const Mixture& mixture, const at::Tensor& x, const at::Tensor& sigma,
                          const at::Tensor& uniform, const at::Tensor& normal);

/// p(x) e^{cx} / Z, again a mixture.
struct LinearTilt {
  Mixture law;
  double log_evidence;  // log Z
};
LinearTilt linear_tilt(const Mixture& mixture, double c);
/// log h_t = log E[e^{c x_0} | x_t] of each element and its gradient in x, of the shape of x.
at::Tensor linear_log_h(const Mixture& mixture, double c, const at::Tensor& x, const at::Tensor& sigma);
at::Tensor linear_log_h_gradient(const Mixture& mixture, double c, const at::Tensor& x,
                                 const at::Tensor& sigma);

/// The same for the reward lambda * 1{x_0 > threshold}: h = 1 + (e^lambda - 1) P(x_0 > threshold | x_t).
at::Tensor indicator_log_h(const Mixture& mixture, double lambda, const at::Tensor& x,
                           const at::Tensor& sigma, double threshold = 0.0);
at::Tensor indicator_log_h_gradient(const Mixture& mixture, double lambda, const at::Tensor& x,
                                    const at::Tensor& sigma, double threshold = 0.0);
/// P(x_0 > threshold) under that tilt, and its log Z.
double indicator_probability(const Mixture& mixture, double lambda, double threshold = 0.0);
double indicator_log_evidence(const Mixture& mixture, double lambda, double threshold = 0.0);

/// Rewards of clean latents: c * mean(x) (differentiable) and 1{mean(x) > threshold}.
RewardValue linear_reward(double c);
RewardValue indicator_reward(double threshold = 0.0);
/// The exact process reward of `linear_reward`: log E[e^{c mean(x_0)} | x_t], differentiable.
RewardValue linear_soft_value(const Mixture& mixture, double c);

/// Wasserstein-1 distance of a sample (any shape), equally weighted or not, to the mixture.
double w1(const at::Tensor& sample, const Mixture& mixture);
double w1(const at::Tensor& sample, const at::Tensor& log_weights, const Mixture& mixture);

/// 1, 1 - 1/K, ..., 0.
Schedule uniform_schedule(int64_t steps);
/// `count` samples [count, shape] of seeded noise with slots 0, 1, ..., and the mixture's velocity.
SamplerInput laboratory_input(const Mixture& mixture, const Schedule& schedule, int64_t count, uint64_t seed,
                              const std::vector<int64_t>& shape = {1, 1, 1, 1});

}  // namespace thalweg
