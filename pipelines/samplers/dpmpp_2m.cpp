#include "samplers/dpm_solver.h"

#include "engine/core/chosen.h"
#include "pipelines/samplers/sampler_kind.h"

namespace thalweg {
namespace {

class Dpmpp2mSampler final : public Cloneable<Dpmpp2mSampler, SolverKind> {
 public:
  at::Tensor solve(const SamplerInput& input) const override { return sample_dpmpp_2m(input); }
};

}  // namespace

std::unique_ptr<SamplerKind> make_dpmpp_2m_sampler() {
  return std::make_unique<Dpmpp2mSampler>();
}

}  // namespace thalweg
