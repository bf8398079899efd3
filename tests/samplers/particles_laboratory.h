// What tests of particle methods share.
#pragma once

#include "samplers/particles/fk.h"
#include "tests/samplers/laboratory.h"

namespace thalweg {

/// velocity_of(mixture) for batches at one noise level, with its coefficients worked out once a call: for
/// tests with millions of steps.
Velocity level_velocity(const Mixture& mixture);

/// laboratory_input with that velocity.
SamplerInput particle_input(const Mixture& mixture, int64_t steps, int64_t count, uint64_t seed,
                            const std::vector<int64_t>& shape = {1, 1, 1, 1});

/// Of the particles by their weights: W1 of all their elements, mean of their elements.
double weighted_w1(const Trajectory& trajectory, const Mixture& law);
double weighted_mean(const Trajectory& trajectory);

}  // namespace thalweg

/// The law that particle methods start from, and what rewards make of it.
namespace thalweg::particles_exact {

inline constexpr double kTilt = 1.2;  // of every element

inline const Mixture& base() {
  static const Mixture mixture = reference_mixture();
  return mixture;
}

inline Mixture tilted(double tilt = kTilt) {
  return linear_tilt(base(), tilt).law;
}

inline RewardValue mean_reward() {
  return linear_reward(1.0);
}

inline FkOptions fk(int64_t particles, int64_t interval) {
  FkOptions o;
  o.particles.particles = particles;
  o.particles.ess_threshold = 1.0;
  o.lambda = kTilt;
  o.interval = interval;
  return o;
}

}  // namespace thalweg::particles_exact
