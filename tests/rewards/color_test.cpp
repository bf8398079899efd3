// The bundled colour reward, through the host.
#include <gtest/gtest.h>

#include <cmath>

#include "rewards/plugin_reward.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

double at2(const at::Tensor& x, int64_t b, int64_t k) {
  return x.index({b, k}).item<double>();
}

/// mean(c - (a + b)/2), written with LibTorch.
at::Tensor reference_color(const at::Tensor& frames_BF3HW, int64_t channel) {
  const auto mean_B3 = frames_BF3HW.to(at::kDouble).mean(at::IntArrayRef{1, 3, 4});
  return 1.5 * mean_B3.select(1, channel) - 0.5 * mean_B3.sum(1);
}

TEST(ColorReward, IsTheMeanOfTheChannelAboveTheOthers) {
  const auto frames = random_frames(4, 3, 5, 7);
  const std::vector<std::string> channels = {"red", "green", "blue"};
  for (size_t c = 0; c < 3; ++c) {
    PluginReward model(color_library(), Json{{"channel", channels[c]}}, Activation{});
    EXPECT_EQ(model.info().dimensions_K, std::vector<std::string>{channels[c] + "ness"});
    const auto values = model.score(frames_input(frames)).values_BK;
    EXPECT_EQ(values.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::allclose(values.squeeze(1).to(at::kDouble),
                             reference_color(frames, static_cast<int64_t>(c)), 0, 1e-6));
  }
}

TEST(ColorReward, ReachesBothEndsOfItsRange) {
  PluginReward model(color_library(), Json::object(), Activation{});
  auto frames = at::zeros({2, 1, 3, 2, 2});
  frames.select(0, 0).select(1, 0).fill_(1);
  frames.select(0, 1).slice(1, 1, 3).fill_(1);
  const auto values = model.score(frames_input(frames)).values_BK;
  EXPECT_EQ(at2(values, 0, 0), 1.0);
  EXPECT_EQ(at2(values, 1, 0), -1.0);
}

TEST(ColorReward, ASampleWithANanPixelIsNotScoredAndTheOthersAre) {
  PluginReward model(color_library(), Json::object(), Activation{});
  auto frames = random_frames(2, 1, 4, 4);
  const double before = at2(model.score(frames_input(frames)).values_BK, 0, 0);
  frames[1][0][1][2][2] = std::nanf("");
  const auto values = model.score(frames_input(frames)).values_BK;
  EXPECT_EQ(at2(values, 0, 0), before);
  EXPECT_TRUE(std::isnan(at2(values, 1, 0)));
}

TEST(ColorReward, RefusesAConfigurationAtItsPointer) {
  const auto refusal = [](const Json& config) {
    return error_of([&] { PluginReward(color_library(), config, Activation{}, "/rewards/2"); });
  };
  EXPECT_EQ(refusal({{"channel", "pink"}}).place, "/rewards/2/config/channel");
  EXPECT_EQ(refusal({{"channel", 3}}).place, "/rewards/2/config/channel");
  EXPECT_EQ(refusal({{"chanel", "red"}}).place, "/rewards/2/config/chanel");
  EXPECT_EQ(refusal(Json::array()).place, "/rewards/2/config");
}

TEST(ColorReward, GradientEqualsCentralDifferences) {
  PluginReward model(color_library(), Json{{"channel", "green"}}, Activation{});
  ASSERT_EQ(model.info().gradient_of, GradientOf::frames);
  const auto frames = random_frames(2, 2, 3, 3);
  const auto cotangent = at::tensor({1.0f, -2.5f}).view({2, 1});
  const auto gradient = model.gradient(frames_input(frames), cotangent).frames_BF3HW;
  ASSERT_EQ(gradient.sizes(), frames.sizes());
  const float h = 0.25f;  // the reward is linear: a large step costs no accuracy
  for (const int64_t i : {0, 5, 17, 30, 53, 60, 107}) {
    auto up = frames.clone(), down = frames.clone();
    up.view({-1})[i] += h;
    down.view({-1})[i] -= h;
    const auto difference =
        (model.score(frames_input(up)).values_BK - model.score(frames_input(down)).values_BK) / (2 * h);
    EXPECT_NEAR(gradient.view({-1})[i].item<double>(), (difference * cotangent).sum().item<double>(), 1e-5)
        << i;
  }
}

}  // namespace
}  // namespace thalweg::testing
