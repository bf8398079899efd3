// Rewards of pictures that are given videos.
#include "rewards/single_frames.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "rewards/differentiable.h"
#include "rewards/open_reward.h"
#include "tests/rewards/fake_reward.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

using Frames = FrameChoice::Frames;
using Over = FrameChoice::Over;

constexpr FrameChoice kMean{Frames::all, Over::mean}, kMinimum{Frames::all, Over::minimum};

/// With the fake that is behind it, whose functions a test may replace.
struct Wrapped {
  explicit Wrapped(const FrameChoice& choice) {
    auto owned = std::make_unique<FakeReward>("fake");
    fake = owned.get();
    reward = std::make_shared<SingleFrames>(std::move(owned), choice, "/rewards/0");
  }
  FakeReward* fake;
  std::shared_ptr<SingleFrames> reward;
};

ScoreInput videos(int64_t B, int64_t F) {
  auto input = frames_input(random_frames(B, F, 2, 3));
  for (int64_t b = 0; b < B; ++b) {
    input.name_next(7, b);
    input.prompts.push_back("prompt " + std::to_string(b));
    input.metadata_json.push_back("{\"n\": " + std::to_string(b) + "}");
    input.group_ids.push_back(b == 0 ? -1 : b / 2);
  }
  input.latents_BCFHW = at::zeros({B, 4, F, 2, 2});
  input.sigmas_B = at::zeros({B});
  input.fps = 8;
  return input;
}

TEST(FrameChoice, ChoosesFramesOfAVideo) {
  const auto of = [](Frames frames, uint16_t interval, int64_t count) {
    return FrameChoice{frames, Over::mean, interval}.chosen(count);
  };
  using List = std::vector<int64_t>;
  EXPECT_EQ(of(Frames::all, 8, 3), (List{0, 1, 2}));
  EXPECT_EQ(of(Frames::first, 8, 3), (List{0}));
  EXPECT_EQ(of(Frames::every, 4, 9), (List{0, 4, 8}));
  EXPECT_EQ(of(Frames::every, 65535, 9), (List{0}));
  EXPECT_EQ(of(Frames::every, 1, 1), (List{0}));
}

TEST(SingleFrames, HandsOverPicturesTimeByTime) {
  Wrapped wrapped({Frames::every, Over::mean, 2});
  const auto input = videos(3, 5);
  ScoreInput seen;
  const auto plain = wrapped.fake->scores;
  wrapped.fake->scores = [&](const ScoreInput& pictures) {
    seen = pictures;
    return plain(pictures);
  };
  wrapped.reward->score(input);
  ASSERT_EQ(seen.frames_BF3HW.sizes(), (std::vector<int64_t>{9, 1, 3, 2, 3}));
  EXPECT_FALSE(seen.latents_BCFHW.defined());
  EXPECT_EQ(seen.fps, 0);
  std::set<uint64_t> ids;
  for (int64_t s = 0; s < 3; ++s)
    for (int64_t b = 0; b < 3; ++b) {
      const auto i = static_cast<size_t>(3 * s + b), of = static_cast<size_t>(b);
      EXPECT_TRUE(at::equal(seen.frames_BF3HW[3 * s + b][0], input.frames_BF3HW[b][2 * s]));
      EXPECT_EQ(seen.prompts[i], input.prompts[of]);
      EXPECT_EQ(seen.metadata_json[i], input.metadata_json[of]);
      EXPECT_EQ(seen.group_ids[i], input.group_ids[of] < 0 ? -1 : 3 * input.group_ids[of] + s);
      EXPECT_EQ(seen.sample_ids[i] == input.sample_ids[of], s == 0);
      EXPECT_EQ(seen.seeds[i] == input.seeds[of], s == 0);
      ids.insert(seen.sample_ids[i]);
    }
  EXPECT_EQ(ids.size(), 9u);
  const auto again = seen;
  wrapped.reward->gradient(input, at::ones({3, 2}));
  wrapped.reward->score(input.slice(1, 3));  // names do not depend on the batch
  EXPECT_EQ(seen.sample_ids[2], again.sample_ids[4]);
  EXPECT_EQ(seen.seeds[2], again.seeds[4]);
}

TEST(SingleFrames, CombinesByDimension) {
  const auto input = videos(3, 4);
  const auto x = input.frames_BF3HW.to(at::kDouble).flatten(2);
  const auto by_frame_BF2 = at::stack({x.mean(2), x.square().mean(2)}, 2);
  EXPECT_TRUE(at::allclose(Wrapped(kMean).reward->score(input).values_BK.to(at::kDouble),
                           by_frame_BF2.mean(1), 0, 1e-6));
  EXPECT_TRUE(at::allclose(Wrapped(kMinimum).reward->score(input).values_BK.to(at::kDouble),
                           by_frame_BF2.amin(1), 0, 1e-6));
  EXPECT_TRUE(at::allclose(Wrapped({Frames::first}).reward->score(input).values_BK.to(at::kDouble),
                           by_frame_BF2.select(1, 0), 0, 1e-6));
}

// A picture scores to the bit as without the wrapper, and has the same gradient.
TEST(SingleFrames, LeavesAPictureAsItIs) {
  const auto input = videos(4, 1);
  const auto cotangent = at::tensor({1.0f, 2.0f}).expand({4, 2});
  for (const auto& choice :
       {kMean, kMinimum, FrameChoice{Frames::first}, FrameChoice{Frames::every, Over::minimum, 3}}) {
    Wrapped wrapped(choice);
    EXPECT_TRUE(at::equal(wrapped.reward->score(input).values_BK, wrapped.fake->score(input).values_BK));
    EXPECT_TRUE(at::equal(wrapped.reward->gradient(input, cotangent).frames_BF3HW,
                          wrapped.fake->gradient(input, cotangent).frames_BF3HW));
  }
}

TEST(SingleFrames, AFrameThatIsNotScoredTakesItsVideoWithIt) {
  for (const auto& choice : {kMean, kMinimum}) {
    Wrapped wrapped(choice);
    const auto plain = wrapped.fake->scores;
    wrapped.fake->scores = [&](const ScoreInput& pictures) {
      auto scored = plain(pictures);
      scored.values_BK[2 * 3 + 1][1] = std::nan("");  // frame 2 and frame 3 of video 1, one dimension
      scored.values_BK[3 * 3 + 1][1] = std::nan("");
      scored.failures = {{"too dark", 2, 1}, {"printed to standard output", 0, -1}};
      return scored;
    };
    const auto scored = wrapped.reward->score(videos(3, 4));
    const auto lost = scored.values_BK.isnan();
    EXPECT_EQ(lost.sum().item<int64_t>(), 1);
    EXPECT_TRUE(lost[1][1].item<bool>());
    ASSERT_EQ(scored.failures.size(), 2u);
    EXPECT_EQ(scored.failures[0].reason, "too dark");
    EXPECT_EQ(scored.failures[0].samples, 1);  // videos
    EXPECT_EQ(scored.failures[1].samples, 0);
  }
}

TEST(SingleFrames, TheGradientOfAMeanIsSharedByTheFrames) {
  const auto input = videos(2, 5);
  const auto cotangent = at::tensor({1.0f, -2.0f, 0.5f, 3.0f}).view({2, 2});
  const auto x = input.frames_BF3HW.to(at::kDouble).requires_grad_(true);
  const auto chosen = x.index_select(1, at::tensor(std::vector<int64_t>{0, 2, 4})).flatten(2);
  const auto values = at::stack({chosen.mean(2).mean(1), chosen.square().mean(2).mean(1)}, 1);
  (values * cotangent).sum().backward();
  const auto gradient =
      Wrapped({Frames::every, Over::mean, 2}).reward->gradient(input, cotangent).frames_BF3HW;
  ASSERT_EQ(gradient.sizes(), input.frames_BF3HW.sizes());
  EXPECT_TRUE(at::allclose(gradient.to(at::kDouble), x.grad(), 0, 1e-7));
  EXPECT_TRUE(gradient.select(1, 1).eq(0).all().item<bool>());
}

TEST(SingleFrames, TheGradientOfAMinimumIsItsFramesAndTheFirstOfEquals) {
  Wrapped wrapped(kMinimum);
  auto input = videos(2, 3);
  input.frames_BF3HW[0] = at::tensor({0.5f, 0.2f, 0.2f}).view({3, 1, 1, 1}).expand({3, 3, 2, 3});
  input.frames_BF3HW[1] = at::tensor({0.1f, 0.4f, 0.3f}).view({3, 1, 1, 1}).expand({3, 3, 2, 3});
  int64_t asked = 0;
  const auto plain = wrapped.fake->gradients;
  wrapped.fake->gradients = [&](const ScoreInput& pictures, const at::Tensor& cotangent) {
    asked = pictures.batch();
    return plain(pictures, cotangent);
  };
  const auto gradient = wrapped.reward->gradient(input, at::tensor({1.0f, 0.0f}).expand({2, 2})).frames_BF3HW;
  EXPECT_EQ(asked, 2);  // one frame of each
  const auto sums_BF = gradient.flatten(2).sum(2);
  EXPECT_TRUE(at::allclose(sums_BF, at::tensor({0.0f, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f}).view({2, 3})));
  EXPECT_TRUE(wrapped.reward->gradient(input, at::zeros({2, 2})).frames_BF3HW.eq(0).all().item<bool>());
}

TEST(SingleFrames, OneFrameWithoutAGradientLeavesTheVideoWithout) {
  for (const auto& choice : {kMean, kMinimum}) {
    Wrapped wrapped(choice);
    const auto plain = wrapped.fake->gradients;
    wrapped.fake->gradients = [&](const ScoreInput& pictures, const at::Tensor& cotangent) {
      auto result = plain(pictures, cotangent);
      result.frames_BF3HW[0].fill_(std::nan(""));
      result.failures = {{"no gradient", 1}};
      return result;
    };
    auto input = videos(2, 3);
    input.frames_BF3HW.select(1, 0).mul_(0.01);  // the lowest
    const auto result = wrapped.reward->gradient(input, at::ones({2, 2}));
    EXPECT_TRUE(result.frames_BF3HW[0].isnan().all().item<bool>());
    EXPECT_TRUE(result.frames_BF3HW[1].isfinite().all().item<bool>());
    ASSERT_EQ(result.failures.size(), 1u);
    EXPECT_EQ(result.failures[0].samples, 1);
  }
}

TEST(SingleFrames, IsANodeOfTheGraph) {
  for (const auto& choice : {kMean, kMinimum}) {
    auto input = videos(2, 3);
    const auto expected = Wrapped(choice).reward->gradient(input, at::ones({2, 2})).frames_BF3HW;
    input.frames_BF3HW.requires_grad_(true);
    differentiable_score(Wrapped(choice).reward, input, expect_no_failures).sum().backward();
    EXPECT_TRUE(at::equal(input.frames_BF3HW.grad(), expected));
  }
}

TEST(SingleFrames, ReferencesComeFrameByFrameOrStandForAll) {
  Wrapped wrapped(kMean);
  ScoreInput seen;
  const auto plain = wrapped.fake->scores;
  wrapped.fake->scores = [&](const ScoreInput& pictures) {
    seen = pictures;
    return plain(pictures);
  };
  auto input = videos(2, 3);
  input.reference_BF3HW = random_frames(2, 3, 2, 3, 5);
  input.mask_BF1HW = random_frames(2, 1, 2, 3, 6).narrow(2, 0, 1);
  wrapped.reward->score(input);
  EXPECT_TRUE(at::equal(seen.reference_BF3HW[2 * 2 + 1][0], input.reference_BF3HW[1][2]));
  EXPECT_TRUE(at::equal(seen.mask_BF1HW[2 * 2 + 1][0], input.mask_BF1HW[1][0]));
  input.reference_BF3HW = random_frames(2, 2, 2, 3, 5);
  EXPECT_EQ(error_of([&] { wrapped.reward->score(input); }).place, "/rewards/0");
}

TEST(SingleFrames, WhatCannotBeIsRefusedAtItsPointer) {
  const auto refusal = [](const std::function<void(RewardInfo&)>& change) {
    auto fake = std::make_unique<FakeReward>("fake");
    change(fake->about);
    const auto error = error_of([&] { SingleFrames(std::move(fake), kMean, "/rewards/3"); });
    EXPECT_EQ(error.place, "/rewards/3/frames");
    return error.message;
  };
  EXPECT_NE(refusal([](RewardInfo& info) { info.compares_frames = true; }).find("compares the frames"),
            std::string::npos);
  EXPECT_NE(refusal([](RewardInfo& info) { info.required.latents = true; }).find("latents"),
            std::string::npos);
  EXPECT_NE(refusal([](RewardInfo& info) { info.required = {.prompts = true}; }).find("no frames"),
            std::string::npos);
  auto both = std::make_unique<FakeReward>("fake");
  both->about.optional.latents = true;
  both->about.gradient_of = GradientOf::both;
  const SingleFrames frames(std::move(both), kMean, "/rewards/3");
  EXPECT_EQ(frames.info().gradient_of, GradientOf::frames);
  EXPECT_FALSE(frames.info().optional.latents);
}

// Of the program's own plugins: in this process, in one of its own, in any micro-batch. `color` means over
// frames itself, so that a mean by the host is the same number.
TEST(SingleFrames, OfALibraryHereAndInAProcessOfItsOwn) {
  RewardSpec spec;
  spec.plugin = "color";
  spec.pointer = "/rewards/0";
  const auto input = videos(5, 4);
  const auto cotangent = at::arange(5, at::kFloat).view({5, 1});
  const auto whole = open_reward(spec, built_plugins(), Activation{});
  for (const std::string isolation : {"inproc", "process"})
    for (const int64_t most : {0, 3}) {
      auto by_frame = spec;
      by_frame.isolation = isolation;
      by_frame.frames = kMean;
      Activation activation;
      activation.max_batch = most;
      activation.frames = 4;
      const auto reward = open_reward(by_frame, built_plugins(), activation);
      EXPECT_TRUE(at::allclose(reward->score(input).values_BK, whole->score(input).values_BK, 0, 1e-6));
      EXPECT_TRUE(at::allclose(reward->gradient(input, cotangent).frames_BF3HW,
                               whole->gradient(input, cotangent).frames_BF3HW, 0, 1e-7));
      by_frame.frames = kMinimum;
      const auto lowest = open_reward(by_frame, built_plugins(), activation)->score(input).values_BK;
      EXPECT_TRUE(lowest.lt(whole->score(input).values_BK).all().item<bool>());
    }
}

TEST(FrameChoice, IsReadFromAnEntry) {
  const auto read = [](const Json& json) {
    RewardSpec spec;
    read_fields(json, "/rewards/0", [&](Fields& fields) { describe(fields, spec); });
    return spec.frames;
  };
  EXPECT_EQ(read({{"plugin", "color"}}).frames, Frames::whole);
  const auto every =
      read({{"plugin", "color"}, {"frames", "every"}, {"frame_interval", 4}, {"over_frames", "minimum"}});
  EXPECT_EQ(every.frames, Frames::every);
  EXPECT_EQ(every.interval, 4);
  EXPECT_EQ(every.over_frames, Over::minimum);
  EXPECT_EQ(read({{"plugin", "color"}, {"frames", "first"}}).frames, Frames::first);
  // What nothing reads, or is no choice.
  const auto place = [&](Json json) {
    json["plugin"] = "color";
    return error_of([&] { read(json); }).place;
  };
  EXPECT_EQ(place({{"frames", "last"}}), "/rewards/0/frames");
  EXPECT_EQ(place({{"frames", 3}}), "/rewards/0/frames");
  EXPECT_EQ(place({{"over_frames", "mean"}}), "/rewards/0/over_frames");
  EXPECT_EQ(place({{"frames", "first"}, {"over_frames", "mean"}}), "/rewards/0/over_frames");
  EXPECT_EQ(place({{"frames", "all"}, {"frame_interval", 2}}), "/rewards/0/frame_interval");
  EXPECT_EQ(place({{"frames", "all"}, {"over_frames", "median"}}), "/rewards/0/over_frames");
  for (const Json& wrong : {Json(0), Json(-4), Json(70000), Json(1.5)})
    EXPECT_EQ(place({{"frames", "every"}, {"frame_interval", wrong}}), "/rewards/0/frame_interval");
}

}  // namespace
}  // namespace thalweg::testing
