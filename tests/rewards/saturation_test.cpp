// The bundled saturation reward, through the host.
#include <gtest/gtest.h>

#include <cmath>

#include "rewards/plugin_reward.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

PluginReward saturation(const Json& config = Json::object()) {
  return {plugin_library("saturation"), config, Activation{}, "/rewards/2"};
}

at::Tensor pixels(std::initializer_list<at::Tensor> colors) {
  std::vector<at::Tensor> frames;
  for (const auto& color : colors) frames.push_back(color.view({1, 3, 1, 1}).expand({1, 3, 2, 2}));
  return at::stack(frames).to(at::kFloat).contiguous();
}

TEST(SaturationReward, IsTheSquaredDistanceFromGrey) {
  auto model = saturation();
  EXPECT_EQ(model.info().dimensions_K, std::vector<std::string>{"saturation"});
  const auto frames = random_frames(4, 3, 5, 7);
  const auto x = frames.to(at::kDouble);
  const auto expected = 4.5 * (x - x.mean(2, true)).square().mean(at::IntArrayRef{1, 2, 3, 4});
  const auto values = model.score(frames_input(frames)).values_BK.squeeze(1).to(at::kDouble);
  EXPECT_TRUE(at::allclose(values, expected, 0, 1e-6));
}

TEST(SaturationReward, OfGreyIsNothingAndOfPureColoursAll) {
  auto model = saturation();
  const auto frames =
      pixels({at::tensor({0.5, 0.5, 0.5}), at::tensor({0.0, 0.0, 0.0}), at::tensor({1.0, 0.0, 0.0}),
              at::tensor({0.0, 0.2, 0.2}), at::tensor({0.4, 0.3, 0.2})});
  const auto values = model.score(frames_input(frames)).values_BK.squeeze(1);
  EXPECT_TRUE(at::allclose(values, at::tensor({0.0f, 0.0f, 1.0f, 0.04f, 0.03f})));
}

TEST(SaturationReward, ASampleWithANanPixelIsNotScoredAndTheOthersAre) {
  auto model = saturation();
  for (int64_t channel = 0; channel < 3; ++channel) {
    auto frames = random_frames(2, 1, 4, 4);
    const double before = model.score(frames_input(frames)).values_BK[0][0].item<double>();
    frames[1][0][channel][2][2] = std::nanf("");
    const auto values = model.score(frames_input(frames)).values_BK;
    EXPECT_EQ(values[0][0].item<double>(), before);
    EXPECT_TRUE(std::isnan(values[1][0].item<double>())) << channel;
  }
}

TEST(SaturationReward, RefusesAConfigurationAtItsPointer) {
  const auto place_of = [](const Json& config) { return error_of([&] { saturation(config); }).place; };
  EXPECT_EQ(place_of({{"channel", "red"}}), "/rewards/2/config/channel");
  EXPECT_EQ(place_of(Json::array()), "/rewards/2/config");
}

TEST(SaturationReward, GradientEqualsCentralDifferences) {
  auto model = saturation();
  ASSERT_EQ(model.info().gradient_of, GradientOf::frames);
  const auto frames = random_frames(2, 2, 3, 3);
  const auto cotangent = at::tensor({1.0f, -2.5f}).view({2, 1});
  const auto gradient = model.gradient(frames_input(frames), cotangent).frames_BF3HW;
  const float h = 0.25f;  // it is quadratic: a large step costs no accuracy
  for (int64_t i = 0; i < frames.numel(); ++i) {
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
