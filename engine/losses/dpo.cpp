#include "engine/losses/dpo.h"

#include <ATen/ATen.h>

#include <cmath>

namespace thalweg {

at::Tensor dpo_log_odds(const DpoErrors& winner, const DpoErrors& loser, double beta) {
  const auto w = winner.policy_P - winner.reference_P.detach();
  const auto l = loser.policy_P - loser.reference_P.detach();
  return (w - l) * (-beta / 2.0);
}

at::Tensor dpo_loss(const at::Tensor& z_P, const at::Tensor& margin_P, const at::Tensor& tie_P,
                    double theta) {
  const double log_theta = std::log(theta);
  const auto clear = -at::log_sigmoid(z_P - margin_P - log_theta);
  const auto tied =
      -at::log_sigmoid(z_P - log_theta) - at::log_sigmoid(-z_P - log_theta) - std::log(theta * theta - 1.0);
  return at::where(tie_P, tied, clear);
}

}  // namespace thalweg
