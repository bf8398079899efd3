// What tests of particle methods share.
#pragma once

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
