#include "samplers/doob/weights.h"

#include <ATen/ATen.h>

namespace thalweg {
namespace {

at::Tensor standardized(const at::Tensor& reward_BM, const at::Tensor& scored_BM) {
  const auto count_B = scored_BM.sum(1, true, at::kDouble).clamp_min(1.0);
  const auto known = at::where(scored_BM, reward_BM, 0.0);
  const auto centred = at::where(scored_BM, reward_BM - known.sum(1, true) / count_B, 0.0);
  const auto std_B = (centred.square().sum(1, true) / count_B).sqrt();
  // Equal rewards differ from their mean by rounding: that is no ranking.
  const auto differ_B = std_B > 1e-12 * known.abs().amax(1, true);
  return at::where(differ_B, centred / std_B, 0.0);
}

}  // namespace

CandidateWeights candidate_weights(const at::Tensor& reward_BM, double temperature, bool normalize) {
  TORCH_CHECK(temperature > 0.0, "the temperature must be positive");
  const auto scored_BM = reward_BM.isfinite();
  const auto any_B = scored_BM.any(1, true);
  const auto score = (normalize ? standardized(reward_BM, scored_BM) : reward_BM) / temperature;
  const auto log_weights = at::where(scored_BM, score, -INFINITY);
  const auto weights_BM = at::where(any_B, at::softmax(log_weights, 1), 0.0);
  const auto ess_B = 1.0 / weights_BM.square().sum(1);
  return {weights_BM, scored_BM, at::where(any_B.squeeze(1), ess_B, static_cast<double>(reward_BM.size(1)))};
}

}  // namespace thalweg
