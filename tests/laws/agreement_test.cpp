// What training computes from a stored transition is what the rollout computed when it drew it.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "engine/losses/grpo.h"
#include "engine/models/sd3/sd3_schedule.h"
#include "engine/optim/gradients.h"
#include "samplers/guidance/cfg.h"
#include "tests/golden/small_sd3.h"
#include "tests/samplers/kernels.h"

namespace thalweg {
namespace {

struct AgreementCase {
  double guidance_scale;
  NamedFamily family;
};

class Agreement : public ::testing::TestWithParam<AgreementCase> {
 protected:
  Velocity guided(const TensorMap& weights) const {
    return cfg(GetParam().guidance_scale,
               small_sd3_conditioning(config_, {77}))(small_sd3_velocity(config_, weights));
  }

  Trajectory rollout() const {
    c10::NoGradGuard no_grad;
    return sample_transitions(
        {guided(weights_), schedule_, conditioning_, small_sd3_noise(slots_), slots_, 3}, kernel_,
        {0, 1, 2, 3, 4}, form_);
  }

  at::Tensor replayed(const Trajectory& t, size_t k, const TensorMap& policy) const {
    const int64_t i = t.trained_steps[k];
    const auto step = step_of(kernel_, t.schedule, i, slots_);
    const auto v = guided(policy)(t.latents[k], step, conditioning_);
    return log_prob(t.next_latents[k], transition(t.latents[k], v, step.kernel), form_);
  }

  const Kernel kernel_ = GetParam().family.kernel(GetParam().family.noise);
  const LogProb form_ = GetParam().family.log_prob;
  const std::vector<int64_t> slots_ = {4, 8, 15, 16};
  const Sd3TransformerConfig config_ = small_sd3_config();
  const TensorMap weights_ = small_sd3_weights(config_, 1);
  const Conditioning conditioning_ = small_sd3_conditioning(config_, slots_);
  const Schedule schedule_ = sd3_schedule(6, 3.0);
};

TEST_P(Agreement, ReplayedLogProbsAreThoseOfTheRollout) {
  const auto t = rollout();
  ASSERT_EQ(t.log_probs_TB.sizes(), at::IntArrayRef({5, 4}));
  EXPECT_FALSE(t.log_probs_TB.requires_grad());
  const auto policy = leaves(weights_);
  for (size_t k = 0; k < t.trained_steps.size(); ++k) {
    const auto log_prob = replayed(t, k, policy);
    ASSERT_TRUE(log_prob.requires_grad());
    const auto old = t.log_probs_TB[static_cast<int64_t>(k)];
    EXPECT_LT((log_prob - old).abs().max().item<double>(), 1e-5) << "step " << k;
    const auto loss = grpo_loss(log_prob, old, at::ones({4}), 1e-4);
    EXPECT_LT((loss.ratio_B - 1.0).abs().max().item<double>(), 1e-5) << "step " << k;
    // What unit noise gives, the Gaussian's -1/2 - log std - log(2 pi)/2 for one: a log-prob that ignored
    // the noise would not.
    const double std = kernel_(schedule_, static_cast<int64_t>(k)).std;
    const auto [weight, offset] = form_(std);
    EXPECT_NEAR(log_prob.mean().item<double>(), offset - weight * std * std, 0.1) << "step " << k;
  }
}

TEST_P(Agreement, AnotherPolicyDisagrees) {
  const auto t = rollout();
  const auto other = small_sd3_weights(config_, 2);
  EXPECT_GT((replayed(t, 2, other) - t.log_probs_TB[2]).abs().max().item<double>(), 1e-4);
}

TEST_P(Agreement, OnPolicyGradientIsMinusAdvantageTimesScore) {
  const auto t = rollout();
  const auto policy = leaves(weights_);
  const auto advantage = at::tensor({1.5, -0.5, 0.25, -2.0}, at::kFloat);
  const auto log_prob = replayed(t, 1, policy);
  // The old log-probs are this path's own, so the ratio is one and nothing is clipped.
  auto from_loss = gradients_of(grpo_loss(log_prob, log_prob.detach(), advantage, 1e-4).loss_B.sum(), policy);
  const auto score = gradients_of((-advantage * replayed(t, 1, policy)).sum(), policy);
  ASSERT_EQ(from_loss.size(), score.size());
  EXPECT_GT(from_loss.size(), 50u);
  for (const auto& [name, gradient] : score) {
    const double scale = gradient.abs().max().item<double>();
    EXPECT_LT((from_loss.at(name) - gradient).abs().max().item<double>(), 1e-5 * scale + 1e-9) << name;
    EXPECT_TRUE(gradient.is_contiguous()) << name;
  }
}

// A step along the loss' negative gradient makes good samples likelier and bad ones less likely.
TEST_P(Agreement, TheUpdateRaisesWhatWasGood) {
  const auto t = rollout();
  const auto policy = leaves(cloned(weights_));
  const auto advantage = at::tensor({1.0, -1.0, 1.0, -1.0}, at::kFloat);
  const auto before = replayed(t, 1, policy);
  const auto gradients =
      gradients_of(grpo_loss(before, before.detach(), advantage, 0.2).loss_B.sum(), policy);
  for (const auto& [name, gradient] : gradients) policy.at(name).detach().sub_(gradient, 1e-3);
  const auto change = (replayed(t, 1, policy) - before).detach();
  EXPECT_GT((change * advantage).sum().item<double>(), 0.0);
}

std::vector<AgreementCase> cases() {
  std::vector<AgreementCase> all;
  for (const auto& family : kernel_families())
    for (const double scale : {1.0, 4.5}) all.push_back({scale, family});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Kernels, Agreement, ::testing::ValuesIn(cases()), [](const auto& info) {
  return info.param.family.name + (info.param.guidance_scale == 1.0 ? "" : "_guided");
});

}  // namespace
}  // namespace thalweg
