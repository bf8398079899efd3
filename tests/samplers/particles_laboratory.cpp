#include "tests/samplers/particles_laboratory.h"

#include <ATen/ATen.h>

#include <cmath>

namespace thalweg {

Velocity level_velocity(const Mixture& m) {
  return [m](const at::Tensor& x, const Step& step, const Conditioning&) {
    const double t = step.sigma_B[0].item<double>(), s = 1.0 - t;
    std::vector<at::Tensor> logits, velocities;
    at::Tensor highest;
    for (size_t k = 0; k < m.weights.size(); ++k) {
      const double data_var = m.stds[k] * m.stds[k], variance = s * s * data_var + t * t;
      const auto offset = x - s * m.means[k];
      logits.push_back(std::log(m.weights[k] / std::sqrt(variance)) - offset.square() * (0.5 / variance));
      velocities.push_back(offset * ((t - s * data_var) / variance) - m.means[k]);
      highest = highest.defined() ? at::maximum(highest, logits.back()) : logits.back();
    }
    at::Tensor total, weighted;
    for (size_t k = 0; k < logits.size(); ++k) {
      const auto gamma = (logits[k] - highest.detach()).exp();
      total = total.defined() ? total + gamma : gamma;
      weighted = weighted.defined() ? weighted + gamma * velocities[k] : gamma * velocities[k];
    }
    return weighted / total;
  };
}

SamplerInput particle_input(const Mixture& m, int64_t steps, int64_t count, uint64_t seed,
                            const std::vector<int64_t>& shape) {
  auto input = laboratory_input(m, uniform_schedule(steps), count, seed, shape);
  input.velocity = level_velocity(m);
  return input;
}

double weighted_w1(const Trajectory& t, const Mixture& law) {
  const auto x = t.x0_BCFHW.flatten(1);
  return w1(x, t.particles->log_weights_B.view({-1, 1}).expand_as(x), law);
}

double weighted_mean(const Trajectory& t) {
  const auto weights = at::softmax(t.particles->log_weights_B, 0);
  return (weights * t.x0_BCFHW.flatten(1).mean(1)).sum().item<double>();
}

}  // namespace thalweg
