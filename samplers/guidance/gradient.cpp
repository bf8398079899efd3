#include "samplers/guidance/gradient.h"

#include <ATen/ATen.h>

#include "samplers/flow_algebra.h"

namespace thalweg {

RewardGradient process_gradient(RewardValue process_reward) {
  return [reward = std::move(process_reward)](const Velocity& velocity, const at::Tensor& x, const Step& step,
                                              const Conditioning& c) {
    return look_at(velocity, reward, x, step, c, WithGradient::yes);
  };
}

RewardGradient clean_gradient(RewardValue reward) {
  return [reward = std::move(reward)](const Velocity& velocity, const at::Tensor& x, const Step& step,
                                      const Conditioning& c) {
    return look_ahead(velocity, reward, x, step, c, WithGradient::yes);
  };
}

RewardGradient process_gradient_below_one(RewardValue process_reward) {
  return [gradient = process_gradient(std::move(process_reward))](
             const Velocity& velocity, const at::Tensor& x, const Step& step, const Conditioning& c) {
    if (step.index != 0) return gradient(velocity, x, step, c);
    const auto v = velocity(x, step, c);
    const Velocity known = [&](const at::Tensor&, const Step&, const Conditioning&) { return v; };
    return gradient(known, x, below_one(step), c);
  };
}

RewardGradient clean_gradient_below_one(RewardValue reward) {
  return [gradient = clean_gradient(std::move(reward))](const Velocity& velocity, const at::Tensor& x,
                                                        const Step& step, const Conditioning& c) {
    if (step.index != 0) return gradient(velocity, x, step, c);
    const auto v = velocity(x, step, c);
    auto ahead = gradient(velocity, x.detach(), below_one(step), c);  // the pull is a constant outside
    ahead.v_BCFHW = v;
    return ahead;
  };
}

at::Tensor normal_jacobian(const at::Tensor& x, const Step& step) {
  const auto clean_B = 1.0 - step.sigma_B;
  return per_sample(clean_B / (clean_B.square() + step.sigma_B.square()), x);
}

}  // namespace thalweg
