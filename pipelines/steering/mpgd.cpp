#include "samplers/guidance/mpgd.h"

#include "engine/core/chosen.h"
#include "pipelines/steering/tilt.h"

namespace thalweg {
namespace {

class Mpgd final : public Cloneable<Mpgd, TiltMethod> {
 public:
  SteeringNeeds needs() const override { return {.reward_gradient = true}; }
  Guidance guidance(const RewardValue& reward, const Schedule& schedule, uint64_t) const override {
    return mpgd(reward, tilt_in(schedule));
  }
};

}  // namespace

std::unique_ptr<SteeringMethod> make_mpgd_steering() {
  return std::make_unique<Mpgd>();
}

}  // namespace thalweg
