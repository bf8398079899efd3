// What methods ask for, against formulas.
#include "pipelines/plan/method_count.h"

#include <gtest/gtest.h>

#include "samplers/schedules/linear.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

Json groups() {
  return {{"prompts_per_iteration", 3}, {"group_size", 4}, {"updates", 2}};
}

// Four steps with noise, of which the last is not trained; a guided replay asks for two rows.
TEST(CountMethod, OfFlowGrpoIsItsFormula) {
  auto options = stochastic();
  const auto schedule = [](int64_t steps) { return linear_schedule(steps); };
  auto settings = groups();
  settings["kl_beta"] = 0.1;
  const auto method = method_named("flow_grpo", settings);
  auto count = count_method(*method, options, 0, schedule);
  EXPECT_EQ(count.forwards_with_gradient, 3.0);
  EXPECT_EQ(count.forwards_without, 3.0);
  EXPECT_EQ(count.stored_latents, 1.0 + 2.0 * 3.0);
  options.sampler.guidance_scale = 2.0;
  count = count_method(*method, options, 0, schedule);
  EXPECT_EQ(count.forwards_with_gradient, 6.0);
  EXPECT_EQ(count.rows_with_gradient, 2.0);
}

TEST(CountMethod, OfDiffusionNftIsItsFormula) {
  auto settings = groups();
  settings["times_per_sample"] = 3;
  settings["kl_beta"] = 0.1;
  const auto count = count_method(*method_named("diffusion_nft", settings), stochastic(), 0,
                                  [](int64_t steps) { return linear_schedule(steps); });
  EXPECT_EQ(count.forwards_with_gradient, 3.0);
  EXPECT_EQ(count.forwards_without, 6.0);
  EXPECT_EQ(count.stored_latents, 1.0);
  ASSERT_EQ(count.roles.size(), 2u);
  EXPECT_FALSE(count.roles[1].learns);
}

// Where every reward's gradient is taken, one of each, and one of the KL term if there is one; one in all
// between.
TEST(CountMethod, OfMarbleHasABackwardPassAReward) {
  const auto count_with = [](const Json& aggregation, double kl_beta) {
    auto settings = groups();
    settings["kl_beta"] = kl_beta;
    settings["aggregation"] = aggregation;
    return count_method(
        *method_named("diffusion_nft", settings), stochastic(), 0,
        [](int64_t steps) { return linear_schedule(steps); }, 3);
  };
  for (const int64_t penalties : {0, 1}) {
    const double kl_beta = 0.1 * static_cast<double>(penalties);
    const auto sum = count_with({{"name", "weighted_sum"}}, kl_beta);
    EXPECT_EQ(sum.backwards, sum.forwards_with_gradient);
    EXPECT_EQ(sum.gradients, 1);
    const auto always = count_with({{"name", "marble"}, {"every", 1}}, kl_beta);
    EXPECT_EQ(always.gradients, 3 + penalties);
    EXPECT_EQ(always.backwards, static_cast<double>(3 + penalties) * always.forwards_with_gradient);
    const auto one_in_ten = count_with({{"name", "marble"}}, kl_beta);
    EXPECT_EQ(one_in_ten.gradients, 3 + penalties);
    EXPECT_NEAR(one_in_ten.backwards,
                (0.9 + 0.1 * static_cast<double>(3 + penalties)) * one_in_ten.forwards_with_gradient, 1e-12);
  }
}

}  // namespace
}  // namespace thalweg
