#include "samplers/heun.h"

#include "engine/core/chosen.h"
#include "pipelines/samplers/sampler_kind.h"

namespace thalweg {
namespace {

class HeunSampler final : public Cloneable<HeunSampler, SolverKind> {
 public:
  at::Tensor solve(const SamplerInput& input) const override { return sample_heun(input); }
};

}  // namespace

std::unique_ptr<SamplerKind> make_heun_sampler() {
  return std::make_unique<HeunSampler>();
}

}  // namespace thalweg
