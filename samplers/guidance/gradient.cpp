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

at::Tensor normal_jacobian(const at::Tensor& x, const Step& step) {
  const auto clean_B = 1.0 - step.sigma_B;
  return per_sample(clean_B / (clean_B.square() + step.sigma_B.square()), x);
}

}  // namespace thalweg
