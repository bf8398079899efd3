#include "rewards/reward_set.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <limits>

#include "rewards/combine/weighted.h"
#include "tests/io/scratch.h"
#include "tests/rewards/fake_reward.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

RewardSpec spec_of(const std::string& plugin, const std::string& pointer) {
  RewardSpec spec;
  spec.plugin = plugin;
  spec.pointer = pointer;
  return spec;
}

RewardSpec outside(const std::filesystem::path& library, const std::string& pointer) {
  auto spec = spec_of(library.string(), pointer);
  spec.isolation = "inproc";
  return spec;
}

TEST(RewardSet, ScoresEveryDimensionAndWeighsThoseAskedFor) {
  auto color = spec_of("color", "/rewards/0");
  color.weight = 2;
  auto probe = outside(probe_library(), "/rewards/1");
  probe.weight = 0.5;
  probe.dimensions = {{"seed", 4.0}, {"mean", -1.0}};
  RewardSet set(open_rewards({color, probe}, built_plugins(), Activation{}));
  ASSERT_EQ(set.names_K().size(), 15u);
  EXPECT_EQ(set.names_K()[0], "color/redness");
  EXPECT_EQ(set.names_K()[3], "probe/seed");
  std::vector<double> weights(15, 0.0);
  weights[0] = 2;
  weights[3] = 2;
  weights[9] = -0.5;
  EXPECT_EQ(set.weights_K(), weights);

  auto input = frames_input(random_frames(3, 1, 4, 4));
  input.seeds = {1, 2, 3};
  const auto rewards = set.score(input);
  EXPECT_EQ(rewards.names_K, set.names_K());
  EXPECT_EQ(rewards.values_BK.scalar_type(), at::kDouble);
  EXPECT_TRUE(rewards.valid_BK.select(1, 0).all().item<bool>());
  EXPECT_FALSE(rewards.valid_BK.select(1, 13).any().item<bool>());
  EXPECT_TRUE(rewards.failures.empty());  // what is not written has no weight
  // The column that the plugin never writes has no weight, so it masks nothing.
  const auto combined = weighted(rewards, set.weights_K());
  EXPECT_TRUE(combined.valid_B.all().item<bool>());
  const auto expected = 2 * rewards.values_BK.select(1, 0) + 2 * at::tensor({1.0, 2.0, 3.0}, at::kDouble) -
                        0.5 * rewards.values_BK.select(1, 9);
  EXPECT_TRUE(at::allclose(combined.total_B, expected, 0, 1e-12));
}

TEST(RewardSet, KnowsTheRateOfVideosThatSayNone) {
  double seen = -1.0;
  auto reward = std::make_shared<FakeReward>("fake");
  reward->scores = [&, mean = reward->scores](const ScoreInput& input) {
    seen = input.fps;
    return mean(input);
  };
  RewardSet set({member_of(reward)}, 12.0);
  const auto rate_of = [&](int64_t frames, double fps) {
    auto input = frames_input(random_frames(1, frames, 4, 4));
    input.fps = fps;
    set.score(input);
    return seen;
  };
  EXPECT_EQ(rate_of(5, 0.0), 12.0);
  EXPECT_EQ(rate_of(5, 24.0), 24.0);
  EXPECT_EQ(rate_of(1, 0.0), 0.0);
}

TEST(RewardSet, AFailingRewardMasksItsColumnsAndIsNamed) {
  RewardSet set(
      open_rewards({spec_of("color", "/rewards/0"), outside(faulty_library("SCORE_FAILS"), "/rewards/1")},
                   built_plugins(), Activation{}));
  const auto rewards = set.score(frames_input(random_frames(2, 1, 3, 3)));
  EXPECT_TRUE(rewards.valid_BK.select(1, 0).all().item<bool>());
  EXPECT_FALSE(rewards.valid_BK.slice(1, 1, 3).any().item<bool>());
  ASSERT_EQ(rewards.failures.size(), 1u);
  EXPECT_EQ(rewards.failures[0].plugin, "SCORE_FAILS");
  EXPECT_EQ(rewards.failures[0].reason, "device failure: the lamp is out");
  EXPECT_EQ(rewards.failures[0].samples, 2);
  EXPECT_EQ(rewards.failures[0].calls, 1);
  EXPECT_FALSE(weighted(rewards, set.weights_K()).valid_B.any().item<bool>());
}

TEST(RewardSet, OneSampleThatCannotBeScoredLeavesTheOthersAlone) {
  auto spec = outside(probe_library(), "/rewards/0");
  spec.config = {{"mode", "odd_nan"}};
  RewardSet set(open_rewards({spec}, built_plugins(), Activation{}));
  const auto combined = weighted(set.score(frames_input(random_frames(4, 1, 3, 3))), set.weights_K());
  EXPECT_TRUE(at::equal(combined.valid_B, at::tensor({1, 0, 1, 0}).to(at::kBool)));
}

TEST(RewardSet, TransformsEachRewardsOwnColumns) {
  auto red = spec_of("color", "/rewards/0");
  red.transform.name = "affine";
  red.transform.affine.scale = 10;
  auto blue = spec_of("color", "/rewards/1");
  blue.config = {{"channel", "blue"}};
  blue.transform.name = "log_sigmoid";
  RewardSet set(open_rewards({red, blue, spec_of("color", "/rewards/2")}, built_plugins(), Activation{}));
  EXPECT_EQ(set.names_K(), (std::vector<std::string>{"color/redness", "color/blueness", "color/redness#2"}));
  const auto raw = set.score(frames_input(random_frames(3, 1, 4, 4)));
  const auto made = set.transform(raw);
  EXPECT_EQ(made.names_K, raw.names_K);
  EXPECT_TRUE(at::allclose(made.values_BK.select(1, 0), 10 * raw.values_BK.select(1, 0)));
  EXPECT_TRUE(at::allclose(made.values_BK.select(1, 1), raw.values_BK.select(1, 1).sigmoid().log()));
  EXPECT_TRUE(at::equal(made.values_BK.select(1, 2), raw.values_BK.select(1, 2)));
}

TEST(RewardSet, MistakesAreNamedAtTheirPointer) {
  const auto place = [](RewardSpec spec) {
    return error_of([&] { RewardSet(open_rewards({spec}, built_plugins(), Activation{})); });
  };
  auto dimension = spec_of("color", "/rewards/3");
  dimension.dimensions = {{"rednes", 1.0}};
  EXPECT_EQ(place(dimension).place, "/rewards/3/dimensions/rednes");
  EXPECT_NE(place(dimension).message.find("did you mean \"redness\"?"), std::string::npos);
  auto config = spec_of("color", "/rewards/3");
  config.config = {{"channel", "pink"}};
  EXPECT_EQ(place(config).place, "/rewards/3/config/channel");
  auto weight = spec_of("color", "/rewards/3");
  weight.weight = std::numeric_limits<double>::infinity();
  EXPECT_EQ(place(weight).place, "/rewards/3/weight");
  EXPECT_EQ(place(spec_of("colr", "/rewards/3")).place, "/rewards/3/plugin");
  auto limits = spec_of("color", "/rewards/3");
  limits.host.restarts = 7;  // it runs in this process
  EXPECT_EQ(place(limits).place, "/rewards/3/host");
}

// Two rewards that are computed elsewhere, each of which answers once the other has been asked.
TEST(RewardSet, AsksThoseElsewhereAtTheSameTime) {
  std::promise<void> asked[2];
  std::vector<RewardMember> members;
  for (int i = 0; i < 2; ++i) {
    auto reward = std::make_shared<FakeReward>("fake");
    reward->about.elsewhere = true;
    reward->scores = [&asked, i](const ScoreInput& input) {
      asked[i].set_value();
      if (asked[1 - i].get_future().wait_for(std::chrono::seconds(60)) != std::future_status::ready)
        return Scored{at::full({input.batch(), 2}, -1.0), {}};
      return Scored{at::full({input.batch(), 2}, 10.0 + i), {{"failed", 1, 0}}};
    };
    members.push_back(member_of(reward));
  }
  RewardSet set(std::move(members));
  EXPECT_TRUE(set.elsewhere());
  const auto batch = set.score(frames_input(random_frames(2, 1, 4, 4)));
  EXPECT_EQ(batch.names_K,
            (std::vector<std::string>{"fake/mean", "fake/square", "fake/mean#2", "fake/square#2"}));
  EXPECT_TRUE(at::equal(batch.values_BK[0], at::tensor({10.0, 10.0, 11.0, 11.0}, at::kDouble)));
  ASSERT_EQ(batch.failures.size(), 1u);
  EXPECT_EQ(batch.failures[0].calls, 2);
}

TEST(RewardSet, AMistakeOfTheUserComesOutOfAnotherThread) {
  auto here = std::make_shared<FakeReward>("here"), there = std::make_shared<FakeReward>("there");
  there->about.elsewhere = true;
  there->scores = [](const ScoreInput&) -> Scored { throw Error("/rewards/1", "wants prompts"); };
  RewardSet set({member_of(here), member_of(there)});
  EXPECT_ERROR(set.score(frames_input(random_frames(2, 1, 4, 4))), "wants prompts");
}

}  // namespace
}  // namespace thalweg::testing
