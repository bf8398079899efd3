#include "samplers/kernels/dance_sde.h"

#include "engine/core/chosen.h"
#include "pipelines/samplers/sampler_kind.h"

namespace thalweg {
namespace {

class DanceSdeSampler final : public Cloneable<DanceSdeSampler, NoisySampler> {
 public:
  DanceSdeSampler() : Cloneable(0.3) {}

  void describe(Fields& f, const Fields::Describe& noise_steps) override {
    describe_noise(f, "eta: g(s) = eta", 10.0, noise_steps);
  }
  Kernel kernel() const override { return dance_sde(noise_level_); }
};

}  // namespace

std::unique_ptr<SamplerKind> make_dance_sde_sampler() {
  return std::make_unique<DanceSdeSampler>();
}

}  // namespace thalweg
