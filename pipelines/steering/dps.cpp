#include "samplers/guidance/dps.h"

#include "engine/core/chosen.h"
#include "pipelines/steering/tilt.h"

namespace thalweg {
namespace {

class Dps final : public Cloneable<Dps, TiltMethod> {
 public:
  SteeringNeeds needs() const override { return {.reward_gradient = true}; }
  Guidance guidance(const RewardValue& reward, const Schedule& schedule, uint64_t) const override {
    return dps(reward, tilt_in(schedule));
  }
};

}  // namespace

std::unique_ptr<SteeringMethod> make_dps_steering() {
  return std::make_unique<Dps>();
}

}  // namespace thalweg
