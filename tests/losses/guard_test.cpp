#include "engine/losses/guard.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <numeric>

#include "engine/core/rng.h"
#include "samplers/kernel.h"
#include "tests/losses/finite_difference.h"

namespace thalweg {
namespace {

constexpr double kStd = 0.3, kDt = 0.05;

at::Tensor noise(int64_t samples, uint64_t step) {
  std::vector<int64_t> slots(static_cast<size_t>(samples));
  std::iota(slots.begin(), slots.end(), 0);
  return normal_noise(5, Purpose::data, slots, step, {1, 1, 2, 2}, at::kDouble);
}

at::Tensor gaussian_log_prob(const at::Tensor& next, const at::Tensor& mean) {
  return log_prob(next, {mean, kStd}, gaussian);
}

// A policy whose mean is `shift` away from the one that drew `samples` next states.
struct Drawn {
  at::Tensor e, old_mean, mean, next, log_prob_B, old_log_prob_B;

  explicit Drawn(int64_t samples)
      : e(noise(samples, 0)),
        old_mean(noise(samples, 1)),
        mean(old_mean + at::tensor({0.02, -0.05, 0.03, 0.01}, at::kDouble).view({1, 1, 1, 2, 2})),
        next(old_mean + kStd * e),
        log_prob_B(gaussian_log_prob(next, mean)),
        old_log_prob_B(gaussian_log_prob(next, old_mean)) {}

  at::Tensor shift() const { return mean - old_mean; }
  at::Tensor log_ratio_B() const {
    return guarded_log_ratio(log_prob_B, old_log_prob_B, mean, old_mean, kStd);
  }
};

double standard_error(const at::Tensor& values) {
  return values.std().item<double>() / std::sqrt(static_cast<double>(values.numel()));
}

TEST(Guard, LogRatioIsTheNoiseAlongTheShift) {
  const Drawn d(7);
  EXPECT_TRUE(at::allclose(d.log_ratio_B(), (d.e * d.shift()).flatten(1).mean(1), 0.0, 1e-13));
}

TEST(Guard, LogRatioHasMeanZeroAndTheUncorrectedOneHasNot) {
  const Drawn d(20000);
  const auto guarded = d.log_ratio_B(), plain = d.log_prob_B - d.old_log_prob_B;
  EXPECT_NEAR(guarded.mean().item<double>(), 0.0, 4.0 * standard_error(guarded));
  const double bias = -d.shift()[0].square().mean().item<double>() / (2.0 * kStd * kStd);
  EXPECT_NEAR(plain.mean().item<double>(), bias, 4.0 * standard_error(plain));
  EXPECT_LT(bias, -4.0 * standard_error(plain));
}

// A sample that is clipped: at the guarded ratio, on both sides.
TEST(Guard, LossIsTheClippedOneOverDt) {
  const auto log_ratio = at::tensor({0.5, 0.5, -0.5, -0.5, 0.001}, at::kDouble).log1p().requires_grad_();
  const auto advantage = at::tensor({2.0, -2.0, 2.0, -2.0, 2.0}, at::kDouble);
  const auto [loss, ratio] = guard_loss(log_ratio, advantage, 0.2, kDt);
  const auto expected = at::tensor({-2.4, 3.0, -1.0, 1.6, -2.002}, at::kDouble) / kDt;
  EXPECT_TRUE(at::allclose(loss.detach(), expected, 1e-12, 0.0)) << loss;
  EXPECT_TRUE(at::allclose(ratio, log_ratio.detach().exp(), 1e-12, 0.0));
}

// At the policy that drew the samples the gradient in the mean is -A e / (D dt): alike at all noise levels.
TEST(Guard, GradientDoesNotDependOnTheNoiseLevel) {
  for (const double std : {0.01, 0.3, 2.0}) {
    const auto e = noise(3, 0), old_mean = noise(3, 1);
    const auto mean = old_mean.clone().requires_grad_();
    const auto next = old_mean + std * e;
    const auto at_mean = [&](const at::Tensor& m) { return log_prob(next, {m, std}, gaussian); };
    const auto advantage = at::tensor({1.0, -0.5, 2.0}, at::kDouble);
    const auto log_ratio = guarded_log_ratio(at_mean(mean), at_mean(old_mean), mean, old_mean, std);
    const auto gradient =
        torch::autograd::grad({guard_loss(log_ratio, advantage, 1e-4, kDt).loss_B.sum()}, {mean})[0];
    const auto expected = -advantage.view({3, 1, 1, 1, 1}) * e / (4.0 * kDt);
    EXPECT_TRUE(at::allclose(gradient, expected, 1e-9, 1e-9)) << std;
  }
}

TEST(Guard, GradientAgreesWithDifferences) {
  const Drawn d(3);
  const auto advantage = at::tensor({1.0, -0.5, 2.0}, at::kDouble);
  const auto loss = [&](const at::Tensor& mean) {
    const auto log_ratio =
        guarded_log_ratio(gaussian_log_prob(d.next, mean), d.old_log_prob_B, mean, d.old_mean, kStd);
    return guard_loss(log_ratio, advantage, 0.5, kDt).loss_B.sum();
  };
  const auto mean = d.mean.clone().requires_grad_();
  EXPECT_TRUE(at::allclose(torch::autograd::grad({loss(mean)}, {mean})[0], finite_difference(loss, d.mean),
                           1e-6, 1e-8));
}

TEST(Guard, AStepWithoutNoiseOrLengthHasNone) {
  const Drawn d(2);
  EXPECT_THROW(guarded_log_ratio(d.log_prob_B, d.old_log_prob_B, d.mean, d.old_mean, 0.0), c10::Error);
  EXPECT_THROW(guard_loss(d.log_ratio_B(), at::ones({2}, at::kDouble), 0.2, 0.0), c10::Error);
}

}  // namespace
}  // namespace thalweg
