#include "pipelines/samplers/sampler_kind.h"

#include <ATen/ATen.h>

namespace thalweg {

at::Tensor SamplerKind::solve(const SamplerInput&) const {
  TORCH_CHECK(false, "a sampler with a kernel is no solver");
}

void NoisySampler::describe_noise(Fields& f, const char* doc, double high,
                                  const Fields::Describe& noise_steps) {
  f.number({"noise_level", doc}, noise_level_, 0.0, high);
  noise_steps(f);
}

}  // namespace thalweg
