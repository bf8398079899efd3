#include "samplers/guidance/dps.h"

#include "engine/core/chosen.h"
#include "pipelines/steering/tilt.h"

namespace thalweg {
namespace {

class Dps final : public Cloneable<Dps, TiltMethod> {
 public:
  SteeringNeeds needs() const override { return {.reward_gradient = true}; }
  Guidance guidance(const RewardValue& reward, uint64_t) const override { return dps(reward, tilt_); }
};

}  // namespace

std::unique_ptr<SteeringMethod> make_dps_steering() {
  return std::make_unique<Dps>();
}

}  // namespace thalweg
