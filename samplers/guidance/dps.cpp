#include "samplers/guidance/dps.h"

namespace thalweg {

Guidance dps(RewardValue reward, TiltOptions options) {
  return tilted(clean_gradient_below_one(std::move(reward)), options);
}

}  // namespace thalweg
