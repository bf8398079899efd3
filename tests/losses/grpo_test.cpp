#include "engine/losses/grpo.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "engine/models/sd3/sd3_schedule.h"
#include "samplers/kernels/flow_sde.h"
#include "tests/losses/finite_difference.h"
#include "tests/samplers/analytic.h"

namespace thalweg {
namespace {

at::Tensor gradient(const at::Tensor& loss, const at::Tensor& of) {
  return torch::autograd::grad({loss}, {of})[0];
}

at::Tensor one(double value) {
  return at::full({1}, value, at::kDouble);
}

struct Case {
  double advantage, ratio, expected_loss, expected_slope;  // slope: dL / d log p
};

// Clip range 0.2. Only the side on which the ratio runs away with the advantage is clipped.
TEST(GrpoLoss, ClipsTheFourSides) {
  for (const Case& c : {Case{2.0, 1.5, -2.0 * 1.2, 0.0},         // good, already likelier: clipped
                        Case{2.0, 0.5, -2.0 * 0.5, -2.0 * 0.5},  // good, less likely: pulled back
                        Case{-2.0, 1.5, 2.0 * 1.5, 2.0 * 1.5},   // bad, likelier: pushed away
                        Case{-2.0, 0.5, 2.0 * 0.8, 0.0},         // bad, already less likely: clipped
                        Case{2.0, 1.1, -2.0 * 1.1, -2.0 * 1.1},  // inside of the range
                        Case{0.0, 1.5, 0.0, 0.0}}) {
    SCOPED_TRACE("A = " + std::to_string(c.advantage) + ", ratio = " + std::to_string(c.ratio));
    const auto log_prob = one(std::log(c.ratio)).requires_grad_();
    const auto policy = grpo_loss(log_prob, one(0.0), one(c.advantage), 0.2);
    EXPECT_NEAR(policy.loss_B.item<double>(), c.expected_loss, 1e-12);
    EXPECT_NEAR(policy.ratio_B.item<double>(), c.ratio, 1e-12);
    EXPECT_FALSE(policy.ratio_B.requires_grad());
    EXPECT_NEAR(gradient(policy.loss_B.sum(), log_prob).item<double>(), c.expected_slope, 1e-12);
  }
}

TEST(GrpoLoss, OnPolicyGradientIsMinusAdvantage) {
  const auto log_prob = at::tensor({-1.5, 0.3, -2.0}, at::kDouble).requires_grad_();
  const auto advantage = at::tensor({1.0, -0.5, 0.0}, at::kDouble);
  const auto policy = grpo_loss(log_prob, log_prob.detach(), advantage, 1e-4);
  EXPECT_TRUE(at::equal(policy.ratio_B, at::ones({3}, at::kDouble)));
  EXPECT_TRUE(at::allclose(policy.loss_B.detach(), -advantage, 0.0, 0.0));
  EXPECT_TRUE(at::allclose(gradient(policy.loss_B.sum(), log_prob), -advantage, 0.0, 1e-15));
}

TEST(GrpoLoss, OldLogProbAndAdvantageAreConstants) {
  const auto log_prob = one(0.1).requires_grad_(), old = one(0.0).requires_grad_(),
             a = one(1.0).requires_grad_();
  const auto loss = grpo_loss(log_prob, old, a, 0.5).loss_B.sum();
  const auto gradients = torch::autograd::grad({loss}, {log_prob, old, a}, {}, std::nullopt, false, true);
  EXPECT_TRUE(gradients[0].defined());
  EXPECT_FALSE(gradients[1].defined());
  EXPECT_FALSE(gradients[2].defined());
}

TEST(GrpoLoss, BoundsARunawayRatio) {
  const auto log_prob = one(500.0).requires_grad_();
  const auto policy = grpo_loss(log_prob, one(0.0), one(-1.0), 1e-4);
  EXPECT_NEAR(policy.ratio_B.item<double>(), std::exp(10.0), 1e-6);
  EXPECT_TRUE(std::isfinite(policy.loss_B.item<double>()));
  EXPECT_EQ(gradient(policy.loss_B.sum(), log_prob).item<double>(), 0.0);
}

class ThroughTheTransition : public ::testing::TestWithParam<int64_t> {
 protected:
  Transition at_velocity(const at::Tensor& v) const { return transition(x_, v, step()); }

  KernelStep step() const { return flow_sde(0.7)(schedule_, GetParam()); }
  double g() const { return diffusion(step(), schedule_, GetParam()); }

  const Schedule schedule_ = sd3_schedule(10, 3.0);
  const at::Tensor x_ = random_latents(1, at::kDouble), v_ = random_latents(2, at::kDouble);
  const at::Tensor v_reference_ = random_latents(3, at::kDouble);
};

TEST_P(ThroughTheTransition, PolicyGradientAgreesWithDifferences) {
  // A drawn next latent near the mean, and old log-probs that put the ratio inside, above and below the
  // range.
  const auto drawn = at_velocity(v_);
  const auto next = drawn.mean_BCFHW + random_latents(4, at::kDouble) * drawn.std;
  const auto old = log_prob(next, drawn, gaussian) - at::tensor({0.05, 0.5, -0.5, 0.5}, at::kDouble);
  const auto advantage = at::tensor({1.3, 0.7, -2.0, -0.4}, at::kDouble);
  const auto loss = [&](const at::Tensor& v) {
    return grpo_loss(log_prob(next, at_velocity(v), gaussian), old, advantage, 0.2).loss_B.sum();
  };
  const auto v = v_.clone().requires_grad_();
  const auto exact = gradient(loss(v), v);
  const auto differences = finite_difference(loss, v_);
  EXPECT_GT(exact.abs().max().item<double>(), 1e-4);
  EXPECT_TRUE(at::allclose(exact, differences, 1e-5, 1e-7))
      << (exact - differences).abs().max().item<double>();
  EXPECT_EQ(exact[1].abs().max().item<double>(), 0.0);  // clipped
  EXPECT_EQ(exact[2].abs().max().item<double>(), 0.0);  // clipped
}

TEST_P(ThroughTheTransition, KlGradientAgreesWithDifferencesAtBothScales) {
  const auto reference = at_velocity(v_reference_).mean_BCFHW;
  for (const double scale : {g(), at_velocity(v_).std}) {
    const auto loss = [&](const at::Tensor& v) {
      return gaussian_kl(at_velocity(v).mean_BCFHW, reference, scale).sum();
    };
    const auto v = v_.clone().requires_grad_();
    EXPECT_TRUE(at::allclose(gradient(loss(v), v), finite_difference(loss, v_), 1e-5, 1e-8));
  }
}

// In velocity: |mean - mean_ref|^2 / (2 g^2) = c^2 dt^2 |v - v_ref|^2 / (2 g^2), c the kernel's prefactor.
TEST_P(ThroughTheTransition, KlIsTheScaledVelocityDistance) {
  const auto i = static_cast<size_t>(GetParam());
  const double dt = schedule_.sigmas[i + 1] - schedule_.sigmas[i], g = this->g();
  const double prefactor = i == 0 ? 1.0 : 1.0 + 0.7 * 0.7 / 2.0;
  const auto kl = gaussian_kl(at_velocity(v_).mean_BCFHW, at_velocity(v_reference_).mean_BCFHW, g);
  const auto distance = (v_ - v_reference_).square().flatten(1).mean(1);
  EXPECT_TRUE(at::allclose(kl, distance * (prefactor * prefactor * dt * dt / (2.0 * g * g)), 1e-10, 0.0));
  // The true divergence of the Gaussians is 1/|dt| times that.
  const auto divergence =
      gaussian_kl(at_velocity(v_).mean_BCFHW, at_velocity(v_reference_).mean_BCFHW, at_velocity(v_).std);
  EXPECT_TRUE(at::allclose(divergence * -dt, kl, 1e-10, 0.0));
}

INSTANTIATE_TEST_SUITE_P(Steps, ThroughTheTransition, ::testing::Values(0, 1, 5, 8));

TEST(GaussianKl, ReferenceIsAConstantAndSelfIsZero) {
  const auto mean = random_latents(1, at::kDouble).requires_grad_(),
             reference = random_latents(2, at::kDouble).requires_grad_();
  const auto gradients = torch::autograd::grad({gaussian_kl(mean, reference, 0.5).sum()}, {mean, reference},
                                               {}, std::nullopt, false, true);
  EXPECT_TRUE(gradients[0].defined());
  EXPECT_FALSE(gradients[1].defined());
  EXPECT_EQ(gaussian_kl(mean, mean, 0.5).abs().max().item<double>(), 0.0);
}

}  // namespace
}  // namespace thalweg
