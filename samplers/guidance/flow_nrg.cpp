#include "samplers/guidance/flow_nrg.h"

namespace thalweg {

Guidance flow_nrg(RewardValue process_reward, TiltOptions options) {
  return tilted(process_gradient_below_one(std::move(process_reward)), options);
}

}  // namespace thalweg
