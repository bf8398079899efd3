// What every sampler takes. A sampler is one function: it knows neither the model nor the guidance.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

struct SamplerInput {
  Velocity velocity;
  Schedule schedule;
  Conditioning conditioning;
  at::Tensor x_BCFHW;           // at schedule.sigmas[0]
  std::vector<int64_t> slot_B;  // noise stream of each sample
  uint64_t seed = 0;
};

/// The step `index` of a schedule for the samples `slot_B`, whose latents are on `device`; its kernel is
/// Euler's.
Step step_at(const Schedule& schedule, int64_t index, const std::vector<int64_t>& slot_B,
             at::Device device = at::kCPU);

}  // namespace thalweg
