// Heun's method for the flow's ODE (Karras et al. 2022, arXiv 2206.00364, algorithm 1), second order.
#pragma once

#include "samplers/sampler.h"

namespace thalweg {

/// Two velocities a step, at s and, after an Euler step, at s'; their mean is followed. The last step, to
/// noise level 0, is Euler's. The second velocity is that of the next step (Step::index), where what goes by
/// index says so: of a guidance interval, the step before it and its last one are guided half. Returns x_0.
at::Tensor sample_heun(const SamplerInput& input);

}  // namespace thalweg
