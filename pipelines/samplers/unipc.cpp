#include "samplers/unipc.h"

#include "engine/core/chosen.h"
#include "pipelines/samplers/sampler_kind.h"

namespace thalweg {
namespace {

class UniPcSampler final : public Cloneable<UniPcSampler, SolverKind> {
 public:
  at::Tensor solve(const SamplerInput& input) const override { return sample_unipc(input); }
};

}  // namespace

std::unique_ptr<SamplerKind> make_unipc_sampler() {
  return std::make_unique<UniPcSampler>();
}

}  // namespace thalweg
