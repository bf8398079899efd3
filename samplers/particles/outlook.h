// What is scored of a noisy state: the clean estimate, or the state itself by a process reward.
#pragma once

#include <string>
#include <vector>

#include "samplers/reward_gradient.h"

namespace thalweg {

/// Two views of a state x_t. At t = 0 both are r(x_0).
struct Outlook {
  /// With the velocity at the state, for the step that follows.
  Lookahead (*at_state)(const Velocity&, const RewardValue&, const at::Tensor& x_BCFHW, const Step&,
                        const Conditioning&, WithGradient);
  /// The value alone; v and x0 are undefined where the value needs no velocity.
  Lookahead (*value)(const Velocity&, const RewardValue&, const at::Tensor& x_BCFHW, const Step&,
                     const Conditioning&);
};

/// "clean_estimate": r(x0hat(x_t)). "noisy_latents": r(x_t, t). Asserts on another name.
Outlook outlook_named(const std::string& name);
const std::vector<std::string>& outlook_names();

/// r(x_0) of samples that `last` has led to; NaN: not scored.
at::Tensor final_rewards(const RewardValue& reward, const at::Tensor& x0_BCFHW, const Step& last,
                         const Conditioning& conditioning);

}  // namespace thalweg
