#include "pipelines/steering/method.h"

#include <ATen/ATen.h>

namespace thalweg {

Guidance SteeringMethod::guidance(const RewardValue&, const Schedule&, uint64_t) const {
  return [](Velocity velocity) { return velocity; };
}

Trajectory SteeringMethod::sample(const SamplerInput&, const Kernel&, const RewardValue&) const {
  TORCH_CHECK(false, "guidance draws no samples");
}

Trajectory SteeringMethod::sample_told(const SamplerInput& in, const Kernel& kernel,
                                       const RewardValue& reward, const GuidanceSink&) const {
  return sample(in, kernel, reward);
}

}  // namespace thalweg
