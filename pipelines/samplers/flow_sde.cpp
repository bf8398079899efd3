#include "samplers/kernels/flow_sde.h"

#include "engine/core/chosen.h"
#include "pipelines/samplers/sampler_kind.h"

namespace thalweg {
namespace {

class FlowSdeSampler final : public Cloneable<FlowSdeSampler, NoisySampler> {
 public:
  FlowSdeSampler() : Cloneable(0.7) {}

  void describe(Fields& f, const Fields::Describe& noise_steps) override {
    describe_noise(f, "a of g(s) = a sqrt(s/(1-s))", 10.0, noise_steps);
  }
  Kernel kernel() const override { return flow_sde(noise_level_); }
};

}  // namespace

std::unique_ptr<SamplerKind> make_flow_sde_sampler() {
  return std::make_unique<FlowSdeSampler>();
}

}  // namespace thalweg
