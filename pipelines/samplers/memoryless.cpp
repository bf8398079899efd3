#include "samplers/kernels/memoryless.h"

#include "engine/core/chosen.h"
#include "pipelines/samplers/sampler_kind.h"

namespace thalweg {
namespace {

class MemorylessSampler final : public Cloneable<MemorylessSampler, NoisySampler> {
 public:
  MemorylessSampler() : Cloneable(1.0) {}

  void describe(Fields& f, const Fields::Describe& noise_steps) override {
    describe_noise(f, "eta of DDIM; 1: x_0 does not depend on the initial noise", 1.0, noise_steps);
  }
  Kernel kernel() const override { return memoryless(noise_level_); }
};

}  // namespace

std::unique_ptr<SamplerKind> make_memoryless_sampler() {
  return std::make_unique<MemorylessSampler>();
}

}  // namespace thalweg
