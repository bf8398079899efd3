#include "samplers/guidance/dps.h"

namespace thalweg {

Guidance dps(RewardValue reward, TiltOptions options) {
  return tilted(clean_gradient(std::move(reward)), options);
}

}  // namespace thalweg
