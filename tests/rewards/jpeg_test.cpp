// The bundled JPEG size reward, through the host. tests/reference holds its sizes against Pillow's.
#include <gtest/gtest.h>

#include <cmath>

#include "rewards/plugin_reward.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

Scored scored(const at::Tensor& frames_BF3HW, const Json& config = Json::object()) {
  return PluginReward(plugin_library("jpeg"), config, Activation{}).score(frames_input(frames_BF3HW));
}

at::Tensor scores(const at::Tensor& frames_BF3HW, const Json& config = Json::object()) {
  const auto [values_BK, failures] = scored(frames_BF3HW, config);
  EXPECT_TRUE(failures.empty());
  return values_BK.squeeze(1);
}

TEST(JpegReward, NamesItsMeasureAndTheTwoAreOpposite) {
  const auto frames = random_frames(2, 1, 24, 40);
  for (const std::string measure : {"compressibility", "incompressibility"})
    EXPECT_EQ(
        PluginReward(plugin_library("jpeg"), Json{{"measure", measure}}, Activation{}).info().dimensions_K,
        std::vector<std::string>{measure});
  const auto size = scores(frames, {{"measure", "incompressibility"}});
  EXPECT_GT(size.min().item<double>(), 0.0);
  EXPECT_TRUE(at::equal(scores(frames), -size));
}

TEST(JpegReward, NoiseIsLargerThanAFlatPictureAndHighQualityThanLow) {
  const auto noise = random_frames(1, 1, 32, 32), flat = at::full({1, 1, 3, 32, 32}, 0.5f);
  EXPECT_LT(scores(noise).item<double>(), scores(flat).item<double>());
  EXPECT_LT(scores(noise).item<double>(), scores(noise, {{"quality", 50}}).item<double>());
  EXPECT_LT(scores(noise, {{"subsampling", "4:4:4"}}).item<double>(),
            scores(noise, {{"subsampling", "4:2:2"}}).item<double>());
  EXPECT_LT(scores(noise, {{"subsampling", "4:2:2"}}).item<double>(), scores(noise).item<double>());
}

TEST(JpegReward, AVideoIsTheMeanOverItsFrames) {
  const auto video = random_frames(2, 3, 16, 16);
  auto sum = at::zeros({2}, at::kDouble);
  for (int64_t f = 0; f < 3; ++f) sum += scores(video.slice(1, f, f + 1).contiguous()).to(at::kDouble);
  EXPECT_TRUE(at::allclose(scores(video).to(at::kDouble), sum / 3, 0, 1e-6));
}

TEST(JpegReward, DoesNotDependOnTheBatch) {
  const auto frames = random_frames(5, 1, 17, 33);
  const auto together = scores(frames);
  EXPECT_TRUE(at::equal(scores(frames.flip(0)), together.flip(0)));
  for (int64_t b = 0; b < 5; ++b)
    EXPECT_TRUE(at::equal(scores(frames.slice(0, b, b + 1).contiguous()), together.slice(0, b, b + 1)));
}

TEST(JpegReward, RoundsPixelsToTheNearestLevelAndClampsThem) {
  const auto levels = at::randint(0, 256, {1, 1, 3, 16, 16}, at::TensorOptions(at::kFloat));
  EXPECT_TRUE(at::equal(scores((levels + 0.49f) / 255.0f), scores(levels / 255.0f)));
  EXPECT_TRUE(at::equal(scores((levels - 0.49f) / 255.0f), scores(levels / 255.0f)));
  const auto bright = at::full({1, 1, 3, 16, 16}, 1.0f);
  EXPECT_TRUE(at::equal(scores(bright * 1e30f), scores(bright)));
  EXPECT_TRUE(at::equal(scores(bright * -3.0f), scores(bright * 0.0f)));
}

TEST(JpegReward, ASampleWithANanPixelIsNotScoredAndTheOthersAre) {
  auto frames = random_frames(2, 2, 8, 8);
  const double before = scores(frames)[0].item<double>();
  frames[1][1][2][7][7] = std::nanf("");
  const auto [values_BK, failures] = scored(frames);
  EXPECT_EQ(values_BK[0][0].item<double>(), before);
  EXPECT_TRUE(std::isnan(values_BK[1][0].item<double>()));
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].samples, 1);
}

TEST(JpegReward, WhatLibjpegRefusesVoidsTheCallWithItsWords) {
  PluginReward model(plugin_library("jpeg"), Json::object(), Activation{});
  const auto wide = model.score(frames_input(at::zeros({1, 1, 3, 1, 65501})));
  EXPECT_TRUE(wide.values_BK.isnan().all().item<bool>());
  ASSERT_EQ(wide.failures.size(), 1u);
  EXPECT_NE(wide.failures[0].reason.find("65500"), std::string::npos) << wide.failures[0].reason;
  EXPECT_TRUE(model.score(frames_input(at::zeros({1, 1, 3, 1, 1}))).values_BK.isfinite().all().item<bool>());
}

TEST(JpegReward, RefusesAConfigurationAtItsPointer) {
  const auto place = [](const Json& config) {
    return error_of([&] { PluginReward(plugin_library("jpeg"), config, Activation{}, "/rewards/2"); }).place;
  };
  EXPECT_EQ(place({{"quality", 0}}), "/rewards/2/config/quality");
  EXPECT_EQ(place({{"quality", 101}}), "/rewards/2/config/quality");
  EXPECT_EQ(place({{"quality", 95.5}}), "/rewards/2/config/quality");
  EXPECT_EQ(place({{"quality", "95"}}), "/rewards/2/config/quality");
  EXPECT_EQ(place({{"subsampling", "4:1:1"}}), "/rewards/2/config/subsampling");
  EXPECT_EQ(place({{"subsampling", 420}}), "/rewards/2/config/subsampling");
  EXPECT_EQ(place({{"measure", "size"}}), "/rewards/2/config/measure");
  EXPECT_EQ(place({{"qualty", 95}}), "/rewards/2/config/qualty");
}

}  // namespace
}  // namespace thalweg::testing
