#include "engine/core/chosen.h"
#include "pipelines/samplers/sampler_kind.h"
#include "samplers/kernels/ode.h"

namespace thalweg {
namespace {

class FlowOdeSampler final : public Cloneable<FlowOdeSampler, SolverKind> {
 public:
  Kernel kernel() const override { return ode(); }
};

}  // namespace

std::unique_ptr<SamplerKind> make_flow_ode_sampler() {
  return std::make_unique<FlowOdeSampler>();
}

}  // namespace thalweg
