// DiffusionNFT's modes and presets, on the small model.
#include <gtest/gtest.h>

#include "tests/io/scratch.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

Json settings(Json more = Json::object()) {
  Json all = {{"prompts_per_iteration", 3},
              {"group_size", 4},
              {"updates", 1},
              {"times_per_sample", 2},
              {"kl_beta", 0.0}};
  all.update(more);
  return all;
}

Metrics first_iteration(Json more, double dark_weight = 0.5) {
  SmallTraining small(
      dark_weight, [](uint64_t) { return false; }, stochastic());
  return method_named("diffusion_nft", settings(std::move(more)))->start(small.training)->iterate(0);
}

// On the old policy's own side the gradient is (2r - 1) times a matching gradient: affine in the advantages,
// so that the positive and the negative ones add up to all.
TEST(DiffusionNftMode, PositiveAndNegativeAddUpToAll) {
  const auto moved = [](const char* mode) {
    auto o = stochastic();
    o.optimizer.max_grad_norm = 1e9;
    SmallTraining small(
        0.5, [](uint64_t) { return false; }, o);
    return number(
        method_named("diffusion_nft", settings({{"mode", mode}}))->start(small.training)->iterate(0),
        "policy_loss");
  };
  // v+ = v- = v_old: the loss itself is that of all, whatever r.
  for (const char* mode : {"positive_only", "negative_only", "one_only", "binary"})
    EXPECT_NEAR(moved(mode), moved("all"), 1e-12) << mode;
  double all = 0.0;
  for (const char* mode : {"all", "positive_only", "negative_only", "one_only", "binary"}) {
    const double norm = number(first_iteration({{"mode", mode}}), "grad_norm");
    EXPECT_GT(norm, 1e-4) << mode;
    if (std::string(mode) == "all")
      all = norm;
    else
      EXPECT_GT(std::fabs(norm - all), 1e-6) << mode;
  }
}

// Without a spread of rewards every advantage is 0 but for rounding: r = 1/2, and nothing is learnt. (The two
// modes that look at signs alone learn from that rounding.)
TEST(DiffusionNftMode, LearnsNothingFromNoAdvantage) {
  for (const char* mode : {"all", "positive_only", "negative_only"})
    EXPECT_LT(number(first_iteration({{"mode", mode}}, 1.0), "grad_norm"), 1e-2) << mode;
}

TEST(DiffusionNft, TheOldPolicyFollowsByAPresetOrItsNumbers) {
  EXPECT_EQ(number(first_iteration(Json::object()), "old_decay"), 0.001);
  EXPECT_EQ(number(first_iteration({{"old_policy", {{"name", "slow"}}}}), "old_decay"), 0.001);
  EXPECT_EQ(number(first_iteration({{"old_policy", {{"name", "none"}}}}), "old_decay"), 0.0);
  EXPECT_EQ(number(first_iteration({{"old_policy", {{"name", "late"}}}}), "old_decay"), 0.0);
  EXPECT_EQ(number(first_iteration({{"old_policy", {{"rate", 0.02}, {"start", 0}, {"maximum", 0.5}}}}),
                   "old_decay"),
            0.02);
}

TEST(DiffusionNft, RefusesAnUnknownMode) {
  EXPECT_ERROR(method_named("diffusion_nft", settings({{"mode", "positive"}})), "/method/mode");
}

}  // namespace
}  // namespace thalweg
