#include "rewards/groups.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "tests/io/scratch.h"
#include "tests/rewards/fake_reward.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

// The mean of each sample less that of the samples of its call; the columns' second is how many those are.
std::shared_ptr<FakeReward> comparing(int64_t least = 2) {
  auto reward = std::make_shared<FakeReward>("compare");
  reward->about.least_of_group = least;
  reward->scores = [](const ScoreInput& input) {
    const auto mean_B = input.frames_BF3HW.flatten(1).mean(1);
    const auto count = static_cast<double>(input.batch());
    return Scored{at::stack({mean_B - mean_B.mean(), at::full_like(mean_B, count)}, 1).to(at::kFloat), {}};
  };
  return reward;
}

ScoreInput input_of(std::vector<int64_t> groups) {
  auto input = frames_input(random_frames(static_cast<int64_t>(groups.size()), 1, 4, 4));
  for (size_t b = 0; b < groups.size(); ++b) {
    input.prompts.push_back("p" + std::to_string(groups[b]));
    input.seeds.push_back(100 + b);
  }
  input.group_ids = std::move(groups);
  return input;
}

TEST(Groups, SamplesOfAGroupComeInARow) {
  std::vector<int64_t> seen;
  std::vector<uint64_t> seeds;
  FakeReward reward("seen");
  reward.about.least_of_group = 2;
  reward.scores = [&](const ScoreInput& input) {
    seen = input.group_ids;
    seeds = input.seeds;
    return Scored{at::stack({at::arange(input.batch()), at::ones({input.batch()})}, 1).to(at::kFloat), {}};
  };
  const auto scored = score_groups(reward, input_of({7, 3, 7, -1, 3, 9}));
  EXPECT_EQ(seen, (std::vector<int64_t>{7, 7, 3, 3}));
  EXPECT_EQ(seeds, (std::vector<uint64_t>{100, 102, 101, 104}));
  const auto first = scored.values_BK.select(1, 0);
  EXPECT_TRUE(at::equal(first.index_select(0, at::tensor({0, 1, 2, 4})), at::tensor({0.f, 2.f, 1.f, 3.f})));
  EXPECT_TRUE(scored.values_BK.index_select(0, at::tensor({3, 5})).isnan().all().item<bool>());
  ASSERT_EQ(scored.failures.size(), 1u);  // of the group of one, and of none
  EXPECT_EQ(scored.failures[0].samples, 2);
  EXPECT_NE(scored.failures[0].reason.find("2 at least"), std::string::npos);
}

TEST(Groups, WithoutALargeEnoughOneNothingIsAsked) {
  auto reward = comparing(4);
  reward->scores = [](const ScoreInput&) -> Scored { throw Error("", "was asked"); };
  const auto scored = score_groups(*reward, input_of({0, 0, 0, 1}));
  EXPECT_TRUE(scored.values_BK.isnan().all().item<bool>());
  EXPECT_EQ(scored.failures[0].samples, 4);
}

TEST(Groups, ASetScoresEitherKind) {
  auto alone = std::make_shared<FakeReward>("alone");
  RewardSet set({member_of(alone), member_of(comparing(), RewardUse::train, {}, 2.0)});
  EXPECT_TRUE(set.compares());
  EXPECT_EQ(set.comparing_K(), (std::vector<bool>{false, false, true, true}));
  EXPECT_EQ(set.weights_alone_K(), (std::vector<double>{1, 0, 0, 0}));
  EXPECT_EQ(set.weights_K(), (std::vector<double>{1, 0, 2, 0}));
  const auto input = input_of({0, 1, 0, 1});
  const auto all = set.score(input), apart = set.score(input, Scoring::alone),
             together = set.score(input, Scoring::groups);
  EXPECT_TRUE(all.valid_BK.all().item<bool>());
  EXPECT_TRUE(at::equal(apart.valid_BK[0].to(at::kLong), at::tensor({1, 1, 0, 0}, at::kLong)));
  EXPECT_TRUE(at::equal(together.valid_BK[0].to(at::kLong), at::tensor({0, 0, 1, 1}, at::kLong)));
  EXPECT_TRUE(apart.failures.empty() && together.failures.empty());
  EXPECT_TRUE(at::equal(all.values_BK.slice(1, 0, 2), apart.values_BK.slice(1, 0, 2)));
  EXPECT_TRUE(at::equal(all.values_BK.slice(1, 2, 4), together.values_BK.slice(1, 2, 4)));
}

TEST(Groups, WhoHasNoneIsRefused) {
  RewardSet set({member_of(std::make_shared<FakeReward>("alone")), member_of(comparing())});
  EXPECT_ERROR(set.refuse_comparing(), "\"compare\" compares the samples of a group");
  EXPECT_ERROR(set.value(input_of({0, 0}), RewardUse::train, std::make_shared<FailureSink>()),
               "steering follows rewards that score a sample by itself");
  EXPECT_NO_THROW(RewardSet({member_of(std::make_shared<FakeReward>("alone"))}).refuse_comparing());
}

TEST(ScoreInput, PartsPutTogetherAreTheWhole) {
  auto input = input_of({0, 0, 1, 1, 2});
  input.latents_BCFHW = at::rand({5, 2, 1, 3, 3});
  input.sigmas_B = at::rand({5});
  input.metadata_json = {"{}", "{\"a\":1}", "{}", "{}", "{}"};
  input.sample_ids = {9, 8, 7, 6, 5};
  const auto joined = concatenate({input.slice(0, 2), input.select({2, 3}), input.slice(4, 5)});
  for (const auto field : {&ScoreInput::frames_BF3HW, &ScoreInput::latents_BCFHW, &ScoreInput::sigmas_B})
    EXPECT_TRUE(at::equal(joined.*field, input.*field));
  EXPECT_EQ(joined.prompts, input.prompts);
  EXPECT_EQ(joined.sample_ids, input.sample_ids);
  EXPECT_EQ(joined.seeds, input.seeds);
  EXPECT_EQ(joined.group_ids, input.group_ids);
  EXPECT_EQ(joined.metadata_json, input.metadata_json);
  const auto swapped = input.select({4, 0});
  EXPECT_EQ(swapped.sample_ids, (std::vector<uint64_t>{5, 9}));
  EXPECT_TRUE(at::equal(swapped.frames_BF3HW[1], input.frames_BF3HW[0]));
  EXPECT_FALSE(swapped.mask_BF1HW.defined());
}

}  // namespace
}  // namespace thalweg::testing
