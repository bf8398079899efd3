// RewardSet over rewards that no library computes: what is combined, what steering follows, what failed.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>
#include <thread>

#include "rewards/combine/weighted.h"
#include "tests/rewards/fake_reward.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::shared_ptr<FakeReward> fake(const std::string& name) {
  return std::make_shared<FakeReward>(name);
}

at::Tensor mean_of(const at::Tensor& frames) {
  return frames.flatten(1).mean(1).to(at::kDouble);
}
at::Tensor square_of(const at::Tensor& frames) {
  return frames.flatten(1).square().mean(1).to(at::kDouble);
}

at::Tensor value_of(const RewardSet& set, const at::Tensor& frames, RewardUse use) {
  return set.value(frames_input(frames), use, std::make_shared<FailureSink>());
}

TEST(RewardUses, AreAllScoredInOrderAndOnlyTrainedOnesCombined) {
  RewardSet set({member_of(fake("a"), RewardUse::guide),
                 member_of(fake("b"), RewardUse::train, {{"square", 3.0}}, 2.0),
                 member_of(fake("b"), RewardUse::watch), member_of(fake("c"), RewardUse::process)});
  EXPECT_EQ(set.names_K(), (std::vector<std::string>{"a/mean", "a/square", "b/mean", "b/square", "b/mean#2",
                                                     "b/square#2", "c/mean", "c/square"}));
  EXPECT_EQ(set.weights_K(), (std::vector<double>{0, 0, 0, 6, 0, 0, 0, 0}));
  const auto frames = random_frames(3, 1, 4, 4);
  const auto raw = set.score(frames_input(frames));
  EXPECT_EQ(raw.names_K, set.names_K());
  for (const int64_t k : {0, 2, 4, 6}) {
    EXPECT_TRUE(at::equal(raw.values_BK.select(1, k), mean_of(frames))) << k;
    EXPECT_TRUE(at::equal(raw.values_BK.select(1, k + 1), square_of(frames))) << k;
  }
  EXPECT_TRUE(at::equal(weighted(set.transform(raw), set.weights_K()).total_B, 6 * square_of(frames)));
}

TEST(RewardUses, SteeringFollowsWhatIsThereForIt) {
  RewardSet set(
      {member_of(fake("a"), RewardUse::train), member_of(fake("b"), RewardUse::guide, {{"square", 1.0}}, 0.5),
       member_of(fake("c"), RewardUse::process, {{"mean", 4.0}}), member_of(fake("d"), RewardUse::watch)});
  const auto frames = random_frames(2, 1, 3, 3);
  EXPECT_TRUE(at::equal(value_of(set, frames, RewardUse::guide), 0.5 * square_of(frames)));
  EXPECT_TRUE(at::equal(value_of(set, frames, RewardUse::process), 4 * mean_of(frames)));
  EXPECT_TRUE(at::equal(value_of(set, frames, RewardUse::train), mean_of(frames)));
  ASSERT_EQ(set.infos(RewardUse::guide).size(), 1u);
  EXPECT_EQ(set.infos(RewardUse::guide)[0].name, "b");
}

TEST(RewardUses, SteeringFollowsTheTrainedOnesWhereNothingElseIsThere) {
  RewardSet set({member_of(fake("a")), member_of(fake("b"), RewardUse::train, {{"square", 1.0}}, 2.0),
                 member_of(fake("c"), RewardUse::train, {}, 0.0)});
  const auto frames = random_frames(2, 1, 3, 3);
  const auto expected = mean_of(frames) + 2 * square_of(frames);
  for (const auto use : {RewardUse::guide, RewardUse::process}) {
    EXPECT_TRUE(at::allclose(value_of(set, frames, use), expected, 0, 1e-12));
    EXPECT_EQ(set.infos(use).size(), 2u);
  }
}

TEST(RewardUses, FramesAreWantedByThoseThatServeTheUseAlone) {
  auto of_latents = fake("latents");
  of_latents->about.required = {.latents = true};
  RewardSet set({member_of(fake("frames"), RewardUse::guide), member_of(of_latents, RewardUse::process)});
  EXPECT_TRUE(wants_frames(set.infos(RewardUse::guide)));
  EXPECT_FALSE(wants_frames(set.infos(RewardUse::process)));
  of_latents->about.optional = {.frames = true};
  EXPECT_TRUE(wants_frames(set.infos(RewardUse::process)));
}

TEST(RewardFailures, MaskTheirOwnColumnsAndCountWhereTheColumnHasAWeight) {
  auto broken = fake("broken");
  broken->scores = [](const ScoreInput& input) {
    auto values = at::ones({input.batch(), 2});
    values[1].fill_(kNan);
    return Scored{values, {{"lost the mean", 1, 0}, {"lost the square", 1, 1}, {"took long", 0, -1}}};
  };
  RewardSet set({member_of(fake("whole")), member_of(broken, RewardUse::train, {{"square", 1.0}})});
  const auto raw = set.score(frames_input(random_frames(3, 1, 2, 2)));
  EXPECT_TRUE(at::equal(raw.valid_BK.select(1, 3), at::tensor({1, 0, 1}).to(at::kBool)));
  EXPECT_TRUE(raw.valid_BK.slice(1, 0, 2).all().item<bool>());
  ASSERT_EQ(raw.failures.size(), 2u);
  EXPECT_EQ(raw.failures[0].plugin, "broken");
  EXPECT_EQ(raw.failures[0].reason, "lost the square");
  EXPECT_EQ(raw.failures[0].samples, 1);
  EXPECT_EQ(raw.failures[1].reason, "took long");
  EXPECT_TRUE(at::equal(weighted(raw, set.weights_K()).valid_B, at::tensor({1, 0, 1}).to(at::kBool)));
  const auto sink = std::make_shared<FailureSink>();
  const auto value = set.value(frames_input(random_frames(3, 1, 2, 2)), RewardUse::guide, sink);
  EXPECT_TRUE(at::equal(value.isnan(), at::tensor({0, 1, 0}).to(at::kBool)));
  EXPECT_EQ(sink->take().size(), 2u);
  EXPECT_TRUE(sink->take().empty());
}

TEST(RewardFailures, OfForwardAndBackwardReachTheSinkOfThatCall) {
  auto reward = fake("half");
  const auto scores = reward->scores;
  reward->scores = [&](const ScoreInput& input) {
    auto scored = scores(input);
    scored.values_BK[0].fill_(kNan);
    scored.failures = {{"no score", 1, 0}};
    return scored;
  };
  const auto gradients = reward->gradients;
  reward->gradients = [&](const ScoreInput& input, const at::Tensor& cotangent_BK) {
    EXPECT_TRUE(cotangent_BK[0].eq(0).all().item<bool>());  // it was not scored
    auto result = gradients(input, cotangent_BK);
    result.frames_BF3HW[1].fill_(kNan);
    result.failures = {{"no gradient", 1, -1}};
    return result;
  };
  RewardSet set({member_of(reward)});
  const auto frames = random_frames(3, 1, 2, 2).set_requires_grad(true);
  const auto sink = std::make_shared<FailureSink>();
  const auto value = set.value(frames_input(frames), RewardUse::guide, sink);
  auto failures = sink->take();
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].reason, "no score");
  const auto gradient = torch::autograd::grad({value.nansum()}, {frames}).front();
  failures = sink->take();
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].plugin, "half");
  EXPECT_EQ(failures[0].reason, "no gradient");
  EXPECT_EQ(failures[0].samples, 1);
  EXPECT_TRUE(gradient[0].eq(0).all().item<bool>());
  EXPECT_TRUE(gradient[1].isnan().all().item<bool>());
  EXPECT_TRUE(at::allclose(gradient[2], at::full({1, 3, 2, 2}, 1.0 / 12)));
}

TEST(RewardFailures, OfOneThreadsCallsAreNeverSaidOfAnothers) {
  auto reward = fake("odd");
  const auto scores = reward->scores;
  reward->scores = [&](const ScoreInput& input) {
    auto scored = scores(input);
    scored.failures = {{"forward " + input.prompts[0], 1, -1}};
    return scored;
  };
  const auto gradients = reward->gradients;
  reward->gradients = [&](const ScoreInput& input, const at::Tensor& cotangent_BK) {
    auto result = gradients(input, cotangent_BK);
    result.failures = {{"backward " + input.prompts[0], 1, -1}};
    return result;
  };
  const RewardSet set({member_of(reward)});
  std::vector<std::vector<RewardFailure>> found(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < found.size(); ++t)
    threads.emplace_back([&, t] {
      const auto sink = std::make_shared<FailureSink>();
      for (int i = 0; i < 50; ++i) {
        auto input = frames_input(random_frames(1, 1, 2, 2).set_requires_grad(true));
        input.prompts = {std::to_string(t)};
        torch::autograd::grad({set.value(input, RewardUse::guide, sink).sum()}, {input.frames_BF3HW});
      }
      found[t] = sink->take();
    });
  for (auto& thread : threads) thread.join();
  for (size_t t = 0; t < found.size(); ++t) {
    ASSERT_EQ(found[t].size(), 2u) << t;
    EXPECT_EQ(found[t][0].reason, "forward " + std::to_string(t));
    EXPECT_EQ(found[t][1].reason, "backward " + std::to_string(t));
    EXPECT_EQ(found[t][0].calls, 50);
    EXPECT_EQ(found[t][1].calls, 50);
  }
}

TEST(RewardUses, AGradientOfARewardThatHasNoneIsRefusedAtItsEntry) {
  auto flat = fake("flat");
  flat->about.gradient_of = GradientOf::none;
  RewardSet set({member_of(flat)});
  const auto frames = random_frames(1, 1, 2, 2).set_requires_grad(true);
  const auto e = error_of([&] { value_of(set, frames, RewardUse::guide); });
  EXPECT_EQ(e.place, "/rewards/0");
  EXPECT_NE(e.message.find("\"flat\" has no gradient"), std::string::npos) << e.message;
}

}  // namespace
}  // namespace thalweg::testing
