// ReNO, reward-based noise optimization (Eyring et al. 2024, arXiv 2406.04312, section 3; code of its
// authors, ExplainableML/ReNO): the initial noise climbs the reward of the picture that a deterministic
// sampler draws from it, and what keeps its norm that of noise. Nothing is trained, and no law is aimed at.
//
// The authors' code is the default in all of: 50 pictures of a sample, the first of its own noise; one step
// of SGD with Nesterov's momentum between two (lr 5, momentum 0.9), the gradient's norm clipped at 0.1; 0.01
// times the log-density of the norm, that of the chi distribution; the picture of the highest reward, the
// regularizer not counted, is handed back. It optimizes in 16 bit, one sample at a time; here noise keeps the
// latents' dtype and each sample of a batch has its own norm and momentum.
#pragma once

#include <string>
#include <vector>

#include "samplers/kernel.h"
#include "samplers/sampler.h"

namespace thalweg {

struct RenoOptions {
  int64_t iterations = 50;  // pictures drawn of each sample, 1 at least
  double learning_rate = 5.0, momentum = 0.9;
  double clip = 0.1;             // of the gradient's norm; 0: no bound
  double regularization = 0.01;  // of the norm's log-density
  std::string best = "reward";   // best_noise_names()
};

/// What the picture that is handed back is the best by: its "reward", or the "objective" that is climbed,
/// reward and regularizer.
const std::vector<std::string>& best_noise_names();

/// (d-1) log|x| - |x|^2/2, the log-density of the norm of d standard normals up to a constant, [B] in
/// float64.
at::Tensor norm_log_density(const at::Tensor& x_BCFHW);
/// Its gradient.
at::Tensor norm_log_density_gradient(const at::Tensor& x_BCFHW);

/// `kernel` must draw no noise. Costs `iterations` draws of K steps and, but for the last of them, a backward
/// of each step; K - 1 of these ask for their velocity anew, so that no more than one step's graph is held. A
/// sample without a value or a gradient stays where it is, and is tried again in the next iteration.
Trajectory sample_reno(const SamplerInput& input, const Kernel& kernel, const RewardValue& reward,
                       const RenoOptions& options);

}  // namespace thalweg
