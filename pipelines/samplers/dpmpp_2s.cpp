#include "samplers/dpm_solver.h"

#include "engine/core/chosen.h"
#include "pipelines/samplers/sampler_kind.h"

namespace thalweg {
namespace {

class Dpmpp2sSampler final : public Cloneable<Dpmpp2sSampler, SolverKind> {
 public:
  at::Tensor solve(const SamplerInput& input) const override { return sample_dpmpp_2s(input); }
};

}  // namespace

std::unique_ptr<SamplerKind> make_dpmpp_2s_sampler() {
  return std::make_unique<Dpmpp2sSampler>();
}

}  // namespace thalweg
