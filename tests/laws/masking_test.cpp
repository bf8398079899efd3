// A sample whose reward failed counts for nothing: not in statistics, not in advantages, not in the gradient.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "engine/advantages/group.h"
#include "engine/losses/grpo.h"
#include "engine/losses/nft.h"
#include "engine/models/sd3/sd3_schedule.h"
#include "engine/optim/gradients.h"
#include "pipelines/training/updates.h"
#include "samplers/kernels/flow_sde.h"
#include "samplers/transitions.h"
#include "tests/golden/small_sd3.h"

namespace thalweg {
namespace {

// Of six samples 1 and 4 failed; whatever they hold, reward or latents, is the parameter.
class Masking : public ::testing::TestWithParam<double> {
 protected:
  static GroupAdvantages advantages(double poison, DeviationOver deviation = DeviationOver::batch) {
    const auto reward = at::tensor({1.0, poison, 3.0, 2.0, poison, 6.0}, at::kDouble);
    auto result = group_advantages(reward, valid(), {0, 0, 0, 1, 1, 1}, {deviation, 5.0});
    check_masked(result, valid());
    return result;
  }
  static at::Tensor valid() { return at::tensor({1, 0, 1, 1, 0, 1}, at::kLong).to(at::kBool); }
  static GroupAdvantages of_scored_only(DeviationOver deviation = DeviationOver::batch) {
    return group_advantages(at::tensor({1.0, 3.0, 2.0, 6.0}, at::kDouble), at::ones({4}, at::kBool),
                            {0, 0, 1, 1}, {deviation, 5.0});
  }
  const at::Tensor scored_ = at::tensor({0, 2, 3, 5}, at::kLong);
  const std::vector<int64_t> all_slots_ = {0, 1, 2, 3, 4, 5}, scored_slots_ = {0, 2, 3, 5};

  // `x` with the samples that are not used set to `poison`.
  static at::Tensor poisoned(const at::Tensor& x, const GroupAdvantages& a, double poison) {
    std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
    shape[0] = -1;
    return at::where(a.used_B.view(shape), x, at::full({}, poison, x.options()));
  }

  at::Tensor mean_over_used(const at::Tensor& loss_B, const GroupAdvantages& a) const {
    return at::where(a.used_B, loss_B / a.used_B.sum().item<double>(), 0.0).sum();
  }

  // Gradient of the mean loss over the used ones of `slots`, by name; latents and old log-probabilities of
  // the others are `poison`.
  TensorMap policy_gradient(const std::vector<int64_t>& slots, const GroupAdvantages& a,
                            double poison) const {
    const auto policy = leaves(weights_);
    const auto c = small_sd3_conditioning(config_, slots, at::kDouble);
    const auto x = used_rows(poisoned(small_sd3_noise(slots, at::kDouble), a, poison), a.used_B);
    const auto step = step_of(flow_sde(0.7), schedule_, 1, slots);
    const auto there = transition(x, small_sd3_velocity(config_, policy)(x, step, c), step.kernel);
    const auto noise = normal_noise(1, Purpose::transition, slots, 1, {4, 1, 8, 8}, at::kDouble);
    const auto next = poisoned((there.mean_BCFHW + noise * there.std).detach(), a, poison);
    const auto log_prob = thalweg::log_prob(used_rows(next, a.used_B), there, gaussian);
    const auto old = poisoned(log_prob.detach(), a, poison);
    return gradients_of(mean_over_used(grpo_loss(log_prob, old, a.values_B, 0.2).loss_B, a), policy);
  }

  TensorMap nft_gradient(const std::vector<int64_t>& slots, const GroupAdvantages& a, double poison) const {
    const auto policy = leaves(weights_);
    const auto c = small_sd3_conditioning(config_, slots, at::kDouble);
    const auto x0 = used_rows(poisoned(small_sd3_noise(slots, at::kDouble), a, poison), a.used_B);
    const auto x_t =
        x0 * 0.4 + normal_noise(1, Purpose::training_noise, slots, 0, {4, 1, 8, 8}, at::kDouble) * 0.6;
    const auto sigma = at::full({static_cast<int64_t>(slots.size())}, 0.6, at::kDouble);
    const auto v = small_sd3_velocity(config_, policy)(x_t, {sigma, sigma, -1, slots}, c);
    return gradients_of(
        mean_over_used(nft_loss(v, v, x_t, x0, sigma, nft_optimality(a.values_B, 5.0), 1.0, 5.0), a), policy);
  }

  static void expect_same(const TensorMap& masked, const TensorMap& without) {
    ASSERT_EQ(masked.size(), without.size());
    double largest = 0.0;
    for (const auto& [name, gradient] : without) {
      EXPECT_TRUE(at::allclose(masked.at(name), gradient, 1e-9, 1e-13)) << name;
      largest = std::max(largest, gradient.abs().max().item<double>());
    }
    EXPECT_GT(largest, 1e-3);
  }
  static void expect_equal(const TensorMap& a, const TensorMap& b) {
    ASSERT_EQ(a.size(), b.size());
    for (const auto& [name, gradient] : a) EXPECT_TRUE(at::equal(gradient, b.at(name))) << name;
  }

  const Sd3TransformerConfig config_ = small_sd3_config();
  const TensorMap weights_ = small_sd3_weights(config_, 1, at::kDouble);
  const Schedule schedule_ = sd3_schedule(6, 3.0);
};

TEST_P(Masking, StatisticsAndAdvantagesAreThoseOfTheScoredOnes) {
  for (const auto deviation : {DeviationOver::batch, DeviationOver::group}) {
    const auto all = advantages(GetParam(), deviation), scored = of_scored_only(deviation);
    EXPECT_TRUE(at::equal(all.values_B.index_select(0, scored_), scored.values_B));
    EXPECT_EQ(all.values_B[1].item<double>(), 0.0);
    EXPECT_EQ(all.values_B[4].item<double>(), 0.0);
    EXPECT_TRUE(at::equal(all.used_B, valid()));
    EXPECT_EQ(all.reward_std_mean, scored.reward_std_mean);
    EXPECT_EQ(all.zero_std_ratio, scored.zero_std_ratio);
  }
}

TEST_P(Masking, PolicyGradientIsThatOfTheScoredOnes) {
  const auto gradient = policy_gradient(all_slots_, advantages(GetParam()), GetParam());
  expect_equal(gradient, policy_gradient(all_slots_, advantages(0.0), 0.0));  // bit for bit
  expect_same(gradient, policy_gradient(scored_slots_, of_scored_only(), 0.0));
}

TEST_P(Masking, NftGradientIsThatOfTheScoredOnes) {
  const auto gradient = nft_gradient(all_slots_, advantages(GetParam()), GetParam());
  expect_equal(gradient, nft_gradient(all_slots_, advantages(0.0), 0.0));
  expect_same(gradient, nft_gradient(scored_slots_, of_scored_only(), 0.0));
}

INSTANTIATE_TEST_SUITE_P(Rewards, Masking,
                         ::testing::Values(std::numeric_limits<double>::quiet_NaN(),
                                           std::numeric_limits<double>::infinity(), 1e30, 0.0));

TEST(MaskingAsserts, AFailedSampleThatWouldCount) {
  const auto valid = at::tensor({1, 0, 1}, at::kLong).to(at::kBool);
  const auto reward = at::tensor({1.0, 2.0, 3.0}, at::kDouble);
  const auto good = group_advantages(reward, valid, {0, 0, 0}, {DeviationOver::group, 5.0});
  EXPECT_NO_THROW(check_masked(good, valid));

  auto used = good;
  used.used_B = at::ones({3}, at::kBool);
  EXPECT_THROW(check_masked(used, valid), c10::Error);
  auto weighed = good;
  weighed.values_B = at::ones({3}, at::kDouble);
  EXPECT_THROW(check_masked(weighed, valid), c10::Error);
  auto infinite = good;
  infinite.values_B = at::tensor({std::numeric_limits<double>::infinity(), 0.0, 1.0}, at::kDouble);
  EXPECT_THROW(check_masked(infinite, valid), c10::Error);
  const auto nan = at::tensor({1.0, std::nan(""), 3.0}, at::kDouble);
  EXPECT_THROW(group_advantages(nan, at::ones({3}, at::kBool), {0, 0, 0}, {DeviationOver::group, 5.0}),
               c10::Error);
}

}  // namespace
}  // namespace thalweg
