// The bundled rewards of a video's differences, through the host.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "rewards/differentiable.h"
#include "rewards/open_reward.h"
#include "rewards/plugin_reward.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

enum Column { kFlickering, kLinearity, kChange, kColumns };

std::shared_ptr<PluginReward> temporal(const Json& config = Json::object()) {
  return std::make_shared<PluginReward>(plugin_library("temporal"), config, Activation{}, "/rewards/2");
}

double value(const at::Tensor& frames_BF3HW, int64_t column, int64_t row = 0) {
  return temporal()->score(frames_input(frames_BF3HW)).values_BK[row][column].item<double>();
}

/// A video of flat grey frames.
at::Tensor grey(const std::vector<double>& levels) {
  return at::tensor(levels, at::kFloat)
      .view({1, static_cast<int64_t>(levels.size()), 1, 1, 1})
      .expand({1, -1, 3, 4, 6})
      .contiguous();
}

/// White to the left of an edge at these places, with a slope of `width` pixels.
at::Tensor edge(const std::vector<double>& places, double width) {
  std::vector<at::Tensor> frames;
  for (const double place : places)
    frames.push_back(((place - at::arange(32, at::kDouble)) / width + 0.5).clamp(0, 1).expand({3, 4, 32}));
  return at::stack(frames).unsqueeze(0).to(at::kFloat);
}

/// The three formulas, written with LibTorch in float64.
at::Tensor by_formula(const at::Tensor& frames_BF3HW, double scale) {
  const auto x = frames_BF3HW.to(at::kDouble).flatten(2);
  const auto step = x.diff(1, 1);
  const auto first = step.abs().mean(at::IntArrayRef{1, 2}),
             second = step.diff(1, 1).abs().mean(at::IntArrayRef{1, 2});
  return at::stack({1 - first, 1 - second / 2, 1 - (-first / scale).exp()}, 1);
}

TEST(TemporalReward, IsItsFormulas) {
  const auto frames = random_frames(3, 5, 4, 7);
  for (const double scale : {0.05, 0.7}) {
    const auto values = temporal({{"change_scale", scale}})->score(frames_input(frames)).values_BK;
    EXPECT_TRUE(at::allclose(values.to(at::kDouble), by_formula(frames, scale), 0, 1e-6));
  }
}

TEST(TemporalReward, OfStillsFadesAndBlinking) {
  const auto still = grey({0.3, 0.3, 0.3, 0.3}), fade = grey({0.0, 0.25, 0.5, 0.75, 1.0}),
             blink = grey({0, 1, 0, 1});
  EXPECT_EQ(value(still, kFlickering), 1.0);
  EXPECT_EQ(value(still, kLinearity), 1.0);
  EXPECT_EQ(value(still, kChange), 0.0);
  EXPECT_EQ(value(fade, kFlickering), 0.75);
  EXPECT_EQ(value(fade, kLinearity), 1.0);
  EXPECT_NEAR(value(fade, kChange), 1 - std::exp(-0.25 / 0.05), 1e-6);
  EXPECT_EQ(value(blink, kFlickering), 0.0);
  EXPECT_EQ(value(blink, kLinearity), 0.0);
  EXPECT_NEAR(value(blink, kChange), 1.0, 1e-6);
}

// The same frames in another order change more, so what is scored is in the order that was given.
TEST(TemporalReward, FramesAreTakenInTheirOrder) {
  EXPECT_NEAR(value(grey({0.1, 0.2, 0.3, 0.4}), kFlickering), 0.9, 1e-6);
  EXPECT_NEAR(value(grey({0.1, 0.3, 0.2, 0.4}), kFlickering), 1 - 0.5 / 3, 1e-6);
}

// A soft edge at constant speed stays nearly linear, one that shakes does not; both move as much.
TEST(TemporalReward, TellsSteadyMotionFromJitter) {
  const auto steady = edge({12, 13, 14, 15, 16, 17}, 10), jitter = edge({14, 15, 14, 15, 14, 15}, 10);
  EXPECT_NEAR(value(steady, kChange), value(jitter, kChange), 0.01);
  // Of 32 columns about 10 change by 1/10 a step; of the steady one only the ends of the slope bend.
  EXPECT_GT(value(steady, kLinearity), 0.996);
  EXPECT_NEAR(value(jitter, kLinearity), 1 - (10 * 0.2 / 32) / 2, 2e-3);
}

TEST(TemporalReward, TooFewFramesAreNotScoredAndANoteSaysWhy) {
  const auto one = temporal()->score(frames_input(random_frames(2, 1, 4, 4)));
  EXPECT_TRUE(one.values_BK.isnan().all().item<bool>());
  ASSERT_EQ(one.failures.size(), 3u);
  EXPECT_EQ(one.failures[0].reason,
            "did not score \"temporal_flickering\": the sample has 1 frame; motion_linearity compares 3, the "
            "others 2");
  EXPECT_EQ(one.failures[0].samples, 2);
  const auto two = temporal()->score(frames_input(random_frames(2, 2, 4, 4)));
  ASSERT_EQ(two.failures.size(), 1u);
  EXPECT_EQ(two.failures[0].dimension, kLinearity);
  EXPECT_TRUE(two.values_BK.select(1, kFlickering).isfinite().all().item<bool>());
}

TEST(TemporalReward, ASampleWithANanPixelIsNotScoredAndTheOthersAre) {
  auto frames = random_frames(2, 3, 4, 4);
  const auto before = temporal()->score(frames_input(frames)).values_BK;
  frames[1][1][0][2][2] = std::nanf("");
  const auto values = temporal()->score(frames_input(frames)).values_BK;
  EXPECT_TRUE(at::equal(values[0], before[0]));
  EXPECT_TRUE(values[1].isnan().all().item<bool>());
}

TEST(TemporalReward, RefusesAConfigurationAtItsPointer) {
  const auto place = [](const Json& config) { return error_of([&] { temporal(config); }).place; };
  EXPECT_EQ(place({{"scale", 1}}), "/rewards/2/config/scale");
  for (const Json& wrong : {Json(0.0), Json(-1), Json(2), Json("0.1"), Json(nullptr)})
    EXPECT_EQ(place({{"change_scale", wrong}}), "/rewards/2/config/change_scale") << wrong;
  EXPECT_EQ(place(Json::array()), "/rewards/2/config");
}

class TemporalGradient : public ::testing::TestWithParam<int64_t> {};

// Against autograd through the formulas, and against differences of the values, for each number of frames.
TEST_P(TemporalGradient, IsThatOfTheFormulas) {
  const auto F = GetParam();
  const auto reward = temporal({{"change_scale", 0.4}});
  ASSERT_EQ(reward->info().gradient_of, GradientOf::frames);
  const auto frames = random_frames(2, F, 3, 3);
  auto cotangent = at::tensor({1.0f, -2.5f, 0.5f, -0.25f, 3.0f, 2.0f}).view({2, 3});
  if (F == 2) cotangent.select(1, kLinearity).zero_();
  const auto gradient = reward->gradient(frames_input(frames), cotangent).frames_BF3HW;

  const auto x = frames.to(at::kDouble).requires_grad_(true);
  auto values = by_formula(x, 0.4);
  if (F == 2) values = values.index_fill(1, at::tensor(std::vector<int64_t>{kLinearity}), 0.0);
  (values * cotangent).sum().backward();
  EXPECT_TRUE(at::allclose(gradient.to(at::kDouble), x.grad(), 0, 1e-7));

  const float h = 1e-3f;
  for (const int64_t i : {int64_t{0}, int64_t{28}, int64_t{40}, frames.numel() - 1}) {
    auto up = frames.clone(), down = frames.clone();
    up.view({-1})[i] += h;
    down.view({-1})[i] -= h;
    const auto difference = (reward->score(frames_input(up)).values_BK.nan_to_num() -
                             reward->score(frames_input(down)).values_BK.nan_to_num()) /
                            (2 * h);
    EXPECT_NEAR(gradient.view({-1})[i].item<double>(), (difference * cotangent).sum().item<double>(), 5e-4)
        << i;
  }
}
INSTANTIATE_TEST_SUITE_P(Frames, TemporalGradient, ::testing::Values(2, 3, 4, 7));

TEST(TemporalReward, AStillHasGradientZeroAndAnUnscoredDimensionHasNone) {
  const auto reward = temporal();
  const auto of = [&](const at::Tensor& frames, std::vector<float> cotangent) {
    return reward->gradient(frames_input(frames), at::tensor(cotangent).view({1, 3})).frames_BF3HW;
  };
  EXPECT_TRUE(of(grey({0.5, 0.5, 0.5}), {1, 1, 1}).eq(0).all().item<bool>());
  EXPECT_TRUE(of(grey({0.5, 0.6}), {1, 1, 0}).isnan().all().item<bool>());
  EXPECT_TRUE(of(grey({0.5, 0.6}), {1, 0, 0}).isfinite().all().item<bool>());
}

TEST(TemporalReward, IsRefusedWhereItCannotCompareFrames) {
  RewardSpec spec;
  spec.plugin = "temporal";
  spec.pointer = "/rewards/1";
  const auto opened = [&](int64_t frames) {
    Activation activation;
    activation.frames = frames;
    return open_reward(spec, built_plugins(), activation);
  };
  EXPECT_TRUE(opened(5)->info().compares_frames);
  const auto picture = error_of([&] { opened(1); });
  EXPECT_EQ(picture.place, "/rewards/1");
  EXPECT_NE(picture.message.find("each sample has one frame"), std::string::npos) << picture.message;
  spec.frames.frames = FrameChoice::Frames::first;
  for (const std::string isolation : {"inproc", "process"}) {
    spec.isolation = isolation;
    for (const auto& refused :
         {error_of([&] { opened(5); }), error_of([&] { inspect_reward(spec, built_plugins()); })}) {
      EXPECT_EQ(refused.place, "/rewards/1/frames");
      EXPECT_NE(refused.message.find("\"temporal\" compares the frames of a video"), std::string::npos)
          << refused.message;
    }
  }
}

}  // namespace
}  // namespace thalweg::testing
