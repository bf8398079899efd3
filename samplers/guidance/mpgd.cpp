#include "samplers/guidance/mpgd.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "samplers/flow_algebra.h"

namespace thalweg {

Guidance mpgd(RewardValue reward, TiltOptions options) {
  return tilted(
      [reward = std::move(reward)](const Velocity& velocity, const at::Tensor& x, const Step& step,
                                   const Conditioning& c) -> Lookahead {
        const auto v = velocity(x, step, c);
        const c10::AutoGradMode on(true);
        const auto x0 = clean_estimate(x, v, step).detach().requires_grad_();
        const auto value_B = reward(x0, clean_step(step), c);
        const auto slope = reward_slope(value_B, x0);
        return {v, x0.detach(), value_B.detach(), slope * normal_jacobian(x, below_one(step))};
      },
      options);
}

}  // namespace thalweg
