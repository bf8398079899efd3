#include "samplers/guidance/flow_nrg.h"

#include "engine/core/chosen.h"
#include "pipelines/steering/tilt.h"

namespace thalweg {
namespace {

class FlowNrg final : public Cloneable<FlowNrg, TiltMethod> {
 public:
  SteeringNeeds needs() const override { return {.reward_gradient = true, .noisy_latents = true}; }
  Guidance guidance(const RewardValue& reward, const Schedule& schedule, uint64_t) const override {
    return flow_nrg(reward, tilt_in(schedule));
  }
};

}  // namespace

std::unique_ptr<SteeringMethod> make_flow_nrg_steering() {
  return std::make_unique<FlowNrg>();
}

}  // namespace thalweg
