// Noise as a pure function of (seed, purpose, slot, step): Philox4x32-10 (Salmon et al. 2011) keyed by the
// seed, with the other three in the counter. Nothing is stored, so a resumed, re-batched or re-threaded
// run draws the same numbers.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace thalweg {

enum class Purpose : uint32_t {
  initial_noise = 1,   // x at sigma 1; step 0
  transition = 2,      // SDE step noise; step = step index
  training_noise = 3,  // forward noise of clean-latent losses
  training_sigma = 4,  // random sigmas of clean-latent losses
  prompts = 5,         // order of the prompts
  parameters = 6,      // initial weights
  data = 7,            // pretraining batches
  dropout = 8,         // caption dropout
  evaluation = 9,      // initial noise of held-out pictures: never that of training
  window = 10,         // start of a random step window
  reward = 11,         // seeds handed to reward plugins
  posterior = 12,      // VAE posterior samples
  candidates = 13,     // noise of the candidates that look ahead of a step
  resampling = 14,     // which particles live on, and which of them is returned
  probe = 15,          // directions along which a reward without gradients is probed
  lookahead = 16,  // noise of rollouts from candidates; step = step of the sampler times steps, plus theirs
  walked_steps = 17,  // which steps of a few-step trajectory are trained
};

/// One Philox block: 128 random bits for a key and a counter.
std::array<uint32_t, 4> philox(std::array<uint32_t, 2> key, std::array<uint32_t, 4> counter);

/// Uniform 64-bit integer for (seed, purpose, slot, step).
uint64_t random_bits(uint64_t seed, Purpose purpose, uint64_t slot, uint64_t step);

/// Uniform in [0,1), 53 bits.
double random_uniform(uint64_t seed, Purpose purpose, uint64_t slot, uint64_t step);

/// Standard normal noise [slots.size(), *shape] for each slot at `step`; Box-Muller in double, rounded to
/// `dtype` (float32 or float64). A slot's numbers depend on nothing but (seed, purpose, slot, step). A GPU
/// draws the same bits; its logarithm and sine may differ in the last bit of a double, so of its float32
/// numbers a few in a billion may be rounded to the neighbour. Nothing there waits for the device.
at::Tensor normal_noise(uint64_t seed, Purpose purpose, at::IntArrayRef slots, uint64_t step,
                        at::IntArrayRef shape, at::ScalarType dtype = at::kFloat,
                        at::Device device = at::kCPU);

}  // namespace thalweg
