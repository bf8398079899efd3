// A sample whose reward failed counts for nothing: not in statistics, not in advantages, not in the gradient.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "engine/advantages/group.h"
#include "engine/losses/grpo.h"
#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "samplers/flow_sde.h"
#include "tests/golden/small_sd3.h"

namespace thalweg {
namespace {

class Masking : public ::testing::TestWithParam<double> {
 protected:
  // Samples 1 and 4 failed; what their reward says is the parameter.
  GroupAdvantages advantages() const {
    const auto reward = at::tensor({1.0, GetParam(), 3.0, 2.0, GetParam(), 6.0}, at::kDouble);
    return group_advantages(reward, at::tensor({1, 0, 1, 1, 0, 1}, at::kLong).to(at::kBool),
                            {0, 0, 0, 1, 1, 1}, DeviationOver::batch, 5.0);
  }
  GroupAdvantages of_scored_only() const {
    return group_advantages(at::tensor({1.0, 3.0, 2.0, 6.0}, at::kDouble), at::ones({4}, at::kBool),
                            {0, 0, 1, 1}, DeviationOver::batch, 5.0);
  }
  const at::Tensor scored_ = at::tensor({0, 2, 3, 5}, at::kLong);

  at::Tensor mean_over_used(const at::Tensor& loss_B, const GroupAdvantages& a) const {
    return at::where(a.used_B, loss_B / a.used_B.sum().item<double>(), 0.0).sum();
  }

  // Gradient of the mean loss over the used ones of `slots`, by name.
  TensorMap policy_gradient(const std::vector<int64_t>& slots, const GroupAdvantages& a) const {
    const auto policy = leaves(weights_);
    const auto c = small_sd3_conditioning(config_, slots, at::kDouble);
    const auto x = small_sd3_noise(slots, at::kDouble);
    const auto transition = flow_sde_transition(
        x, small_sd3_velocity(config_, policy)(x, step_at(schedule_, 1, slots), c), schedule_, 1, 0.7);
    const auto noise = normal_noise(1, Purpose::transition, slots, 1, {4, 1, 8, 8}, at::kDouble);
    const auto log_prob = gaussian_log_prob(transition.mean_BCFHW + noise * transition.std, transition);
    return gradients_of(mean_over_used(grpo_loss(log_prob, log_prob.detach(), a.values_B, 0.2).loss_B, a),
                        policy);
  }

  TensorMap nft_gradient(const std::vector<int64_t>& slots, const GroupAdvantages& a) const {
    const auto policy = leaves(weights_);
    const auto c = small_sd3_conditioning(config_, slots, at::kDouble);
    const auto x0 = small_sd3_noise(slots, at::kDouble);
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

  const Sd3TransformerConfig config_ = small_sd3_config();
  const TensorMap weights_ = small_sd3_weights(config_, 1, at::kDouble);
  const Schedule schedule_ = sd3_schedule(6, 3.0);
};

TEST_P(Masking, AdvantagesAreThoseOfTheScoredOnes) {
  const auto all = advantages(), scored = of_scored_only();
  EXPECT_TRUE(at::equal(all.values_B.index_select(0, scored_), scored.values_B));
  EXPECT_EQ(all.values_B[1].item<double>(), 0.0);
  EXPECT_EQ(all.values_B[4].item<double>(), 0.0);
  EXPECT_EQ(all.reward_std_mean, scored.reward_std_mean);
}

TEST_P(Masking, PolicyGradientIsThatOfTheScoredOnes) {
  expect_same(policy_gradient({0, 1, 2, 3, 4, 5}, advantages()),
              policy_gradient({0, 2, 3, 5}, of_scored_only()));
}

TEST_P(Masking, NftGradientIsThatOfTheScoredOnes) {
  expect_same(nft_gradient({0, 1, 2, 3, 4, 5}, advantages()), nft_gradient({0, 2, 3, 5}, of_scored_only()));
}

INSTANTIATE_TEST_SUITE_P(Rewards, Masking,
                         ::testing::Values(std::numeric_limits<double>::quiet_NaN(), 1e30, 0.0));

}  // namespace
}  // namespace thalweg
