#include "pipelines/score/gradient_trial.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/core/rng.h"

namespace thalweg {
namespace {

// As the validator has it: large enough for float32 values, and differences of fourth order.
constexpr double kStep = 0.02, kTolerance = 0.02, kSmallest = 1e-5;

std::string reasons_of(const std::vector<CallFailure>& failures) {
  std::string text;
  for (const auto& failure : failures) text += (text.empty() ? "" : "; ") + failure.reason;
  return text;
}

// NaN where it is not scored.
double value_at(Reward& reward, ScoreInput input, const at::Tensor& frames_BF3HW, int64_t k) {
  input.frames_BF3HW = frames_BF3HW;
  return reward.score(input).values_BK[0][k].item<double>();
}

double difference(Reward& reward, const ScoreInput& input, const at::Tensor& direction, int64_t k) {
  const auto at = [&](double step) {
    return value_at(reward, input, input.frames_BF3HW + step * direction, k);
  };
  return (8.0 * (at(kStep / 2) - at(-kStep / 2)) - (at(kStep) - at(-kStep))) / (6.0 * kStep);
}

}  // namespace

GradientTrial try_gradient(Reward& reward, const ScoreInput& given, int64_t k) {
  const auto& info = reward.info();
  GradientTrial trial;
  trial.dimension = info.dimensions_K[static_cast<size_t>(k)];
  if (!includes_frames(info.gradient_of)) {
    trial.problem = "it is of latents, which pictures have not";
    return trial;
  }
  auto input = given;
  input.frames_BF3HW = given.frames_BF3HW.to(at::kFloat) * (1.0 - 2.0 * kStep) + kStep;
  auto cotangent_BK = at::zeros({1, static_cast<int64_t>(info.dimensions_K.size())});
  cotangent_BK[0][k] = 1.0F;
  const auto found = reward.gradient(input, cotangent_BK);
  const auto& gradient = found.frames_BF3HW;
  trial.finite = gradient.defined() && gradient.isfinite().all().item<bool>();
  if (!trial.finite) {
    const auto reasons = reasons_of(found.failures);
    trial.problem = reasons.empty() ? "it is not finite" : reasons;
    return trial;
  }
  if (!info.deterministic) {
    trial.problem = "the reward says that the same picture may get another value";
    return trial;
  }
  const auto g = gradient.to(at::kDouble);
  const double most = g.abs().max().item<double>(), length = g.norm().item<double>();
  const auto along = most > 0.0 ? gradient / most : at::zeros_like(gradient);
  const auto signs = normal_noise(0, Purpose::probe, {0}, 0, gradient.sizes().slice(1)).sign();
  bool agrees = true;
  for (const auto& direction : {along, signs}) {
    const double slope = (g * direction).sum().item<double>();
    const double expected = difference(reward, input, direction, k);
    if (!std::isfinite(expected)) {
      trial.problem = "its neighbours have no value";
      return trial;
    }
    if (direction.is_same(along)) {
      trial.slope = slope;
      trial.difference = expected;
    }
    // Random signs meet the gradient at about its length, so that is the measure where they cancel.
    agrees =
        agrees && std::abs(slope - expected) <= kTolerance * std::max(std::abs(expected), length) + kSmallest;
  }
  trial.agrees = agrees;
  return trial;
}

}  // namespace thalweg
