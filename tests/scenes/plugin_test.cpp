#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/scenes/canvas.h"
#include "tests/scenes/loaded_reward.h"

namespace thalweg::scenes {
namespace {

class ScenePlugin : public LoadedReward {
 protected:
  ScenePlugin() : LoadedReward("scene") {}

  // Frames of 64 x 64, sample after sample.
  thalweg_status score(const std::vector<float>& rgb, const std::vector<const char*>& prompts, int64_t frames,
                       std::vector<float>& values) const {
    return LoadedReward::score(rgb, prompts, {frames, 3, 64, 64}, values);
  }

  static constexpr int64_t kDimensions = ::scene::kDimensions;
};

TEST_F(ScenePlugin, NamesItsDimensions) {
  ASSERT_EQ(activate(" { } "), THALWEG_OK);
  ASSERT_EQ(reward_->dimension_count(reward_), 7U);
  EXPECT_STREQ(reward_->dimension_name(reward_, 0), "strict");
  EXPECT_STREQ(reward_->dimension_name(reward_, 1), "soft");
  EXPECT_STREQ(reward_->dimension_name(reward_, 6), "extras");
}

TEST_F(ScenePlugin, RefusesSettings) {
  EXPECT_EQ(activate(R"({"threshold": 1})"), THALWEG_INVALID_ARGUMENT);
  ASSERT_EQ(heard_.errors.size(), 1U);
  EXPECT_NE(heard_.errors[0].find("no settings"), std::string::npos);
}

TEST_F(ScenePlugin, ScoresAsItsPartsDo) {
  ASSERT_EQ(activate("{}"), THALWEG_OK);
  std::vector<float> rgb, values;
  std::vector<std::string> prompts;
  for (std::uint64_t index = 0; index < 40; ++index) {
    const Canvas canvas = Canvas::of(random_scene(31, index), index);
    rgb.insert(rgb.end(), canvas.rgb_3HW.begin(), canvas.rgb_3HW.end());
    prompts.push_back(random_scene(31, index - index % 2).caption);  // every other one is another's
  }
  std::vector<const char*> pointers;
  for (const std::string& prompt : prompts) pointers.push_back(prompt.c_str());
  ASSERT_EQ(score(rgb, pointers, 1, values), THALWEG_OK);
  for (std::size_t b = 0; b < prompts.size(); ++b) {
    const auto expected = Canvas::of(random_scene(31, b), b).score(prompts[b]);
    for (std::size_t k = 0; k < expected.size(); ++k) {
      const float value = values[b * kDimensions + k];
      EXPECT_TRUE(value == expected[k] || (std::isnan(value) && std::isnan(expected[k]))) << b << ' ' << k;
    }
    EXPECT_TRUE(b % 2 == 1 || values[b * kDimensions] == 1.0F) << b;
  }
}

TEST_F(ScenePlugin, AveragesOverFrames) {
  ASSERT_EQ(activate("{}"), THALWEG_OK);
  const Canvas right = Canvas::of(scene_with("a red circle", 1));
  std::vector<float> rgb = right.rgb_3HW, values;
  const Canvas empty;
  for (int i = 0; i < 3; ++i) rgb.insert(rgb.end(), empty.rgb_3HW.begin(), empty.rgb_3HW.end());
  ASSERT_EQ(score(rgb, {"a red circle"}, 4, values), THALWEG_OK);
  EXPECT_EQ(values[0], 0.25F);
  EXPECT_EQ(values[1], 0.25F);
}

TEST_F(ScenePlugin, LeavesWhatItCannotReadUnscored) {
  ASSERT_EQ(activate("{}"), THALWEG_OK);
  std::vector<float> rgb, values;
  for (int i = 0; i < 3; ++i) {
    const Canvas canvas = Canvas::of(scene_with("a red circle", 1));
    rgb.insert(rgb.end(), canvas.rgb_3HW.begin(), canvas.rgb_3HW.end());
  }
  rgb[100] = std::numeric_limits<float>::quiet_NaN();
  for (int again = 0; again < 2; ++again) {
    ASSERT_EQ(score(rgb, {"a red circle", "a portrait of a cat", "a red circle"}, 1, values), THALWEG_OK);
  }
  for (std::size_t k = 0; k < 2 * kDimensions; ++k) EXPECT_TRUE(std::isnan(values[k])) << k;
  EXPECT_EQ(values[2 * kDimensions], 1.0F);
  ASSERT_EQ(heard_.lines.size(), 1U);
  EXPECT_NE(heard_.lines[0].find("portrait"), std::string::npos);
}

}  // namespace
}  // namespace thalweg::scenes
