#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/moving_scenes/clip.h"
#include "tests/scenes/loaded_reward.h"

namespace thalweg::moving_scenes {
namespace {

constexpr std::size_t kDimensions = motion::kDimensions;
const char* const kMoves = "a red circle moves left";

class MotionPlugin : public scenes::LoadedReward {
 protected:
  MotionPlugin() : LoadedReward("motion") {}

  void SetUp() override {
    LoadedReward::SetUp();
    ASSERT_EQ(activate(" { } "), THALWEG_OK);
  }
};

void append(const Clip& clip, std::vector<float>& rgb) {
  for (const Frame& frame : clip.frames) rgb.insert(rgb.end(), frame.begin(), frame.end());
}

bool all_unscored(const std::vector<float>& values, std::size_t row) {
  for (std::size_t k = 0; k < kDimensions; ++k) {
    if (!std::isnan(values.at(row * kDimensions + k))) return false;
  }
  return true;
}

TEST_F(MotionPlugin, NamesItsDimensions) {
  ASSERT_EQ(reward_->dimension_count(reward_), kDimensions);
  for (const auto& [k, name] : {std::pair{0U, "strict"}, {1U, "soft"}, {2U, "direction"}, {8U, "extras"}}) {
    EXPECT_STREQ(reward_->dimension_name(reward_, k), name);
  }
}

TEST_F(MotionPlugin, RefusesSettings) {
  reward_->deactivate(reward_);
  EXPECT_EQ(activate(R"({"frames": 9})"), THALWEG_INVALID_ARGUMENT);
  ASSERT_EQ(heard_.errors.size(), 1U);
  EXPECT_NE(heard_.errors[0].find("/frames"), std::string::npos);
  EXPECT_NE(heard_.errors[0].find("no settings"), std::string::npos);
}

// The values of a sample are those of its parts, alone, in a batch, and in the batch turned round.
TEST_F(MotionPlugin, ScoresTheSameInAnyBatch) {
  constexpr std::size_t n = 24;
  std::vector<std::string> prompts;
  std::vector<Clip> clips;
  for (std::uint64_t index = 0; index < n; ++index) {
    clips.push_back(Clip::of(random_scene(31, index), index));
    clips.back().add_noise(0.03F, index);
    prompts.push_back(random_scene(31, index - index % 2).caption);  // every other one is another's
  }
  std::vector<float> rgb, turned, values, turned_values, alone;
  std::vector<const char*> pointers, turned_pointers;
  for (std::size_t i = 0; i < n; ++i) {
    append(clips[i], rgb);
    append(clips[n - 1 - i], turned);
    pointers.push_back(prompts[i].c_str());
    turned_pointers.push_back(prompts[n - 1 - i].c_str());
  }
  ASSERT_EQ(score(rgb, pointers, {9, 3, 32, 32}, values), THALWEG_OK);
  ASSERT_EQ(score(turned, turned_pointers, {9, 3, 32, 32}, turned_values), THALWEG_OK);
  for (std::size_t b = 0; b < n; ++b) {
    std::vector<float> one;
    append(clips[b], one);
    ASSERT_EQ(score(one, {pointers[b]}, {9, 3, 32, 32}, alone), THALWEG_OK);
    const motion::Scores expected = clips[b].score(prompts[b]);
    for (std::size_t k = 0; k < kDimensions; ++k) {
      const auto same = [&](float value) {
        return value == expected.at(k) || (std::isnan(value) && std::isnan(expected.at(k)));
      };
      EXPECT_TRUE(same(values[b * kDimensions + k]) && same(alone[k])) << b << ' ' << k;
      EXPECT_TRUE(same(turned_values[(n - 1 - b) * kDimensions + k])) << b << ' ' << k;
    }
    EXPECT_TRUE(b % 2 == 1 || values[b * kDimensions] == 1.0F) << prompts[b];
  }
}

TEST_F(MotionPlugin, ScoresVideosThatAreNotSquare) {
  const Clip clip = Clip::of(scene_with(kMoves));
  std::vector<float> rgb, values;
  for (const Frame& frame : clip.frames) {
    for (std::size_t row = 0; row < 3 * 32; ++row) {
      rgb.insert(rgb.end(), frame.begin() + static_cast<std::ptrdiff_t>(row * 32),
                 frame.begin() + static_cast<std::ptrdiff_t>(row * 32 + 32));
      rgb.insert(rgb.end(), 17, frame[0]);  // ground to the right
    }
  }
  ASSERT_EQ(score(rgb, {kMoves}, {9, 3, 32, 49}, values), THALWEG_OK);
  EXPECT_EQ(values[motion::kStrict], 1.0F);
}

TEST_F(MotionPlugin, SaysWhyVideosOfUnfitSizesAreNotScored) {
  std::vector<float> values;
  for (const int64_t frames : {1, 4, 4097}) {
    heard_.notes.clear();
    const std::vector<float> rgb(static_cast<std::size_t>(2 * frames * 3 * 32 * 32), 0.5F);
    ASSERT_EQ(score(rgb, {kMoves, kMoves}, {frames, 3, 32, 32}, values), THALWEG_OK);
    EXPECT_TRUE(all_unscored(values, 0) && all_unscored(values, 1));
    ASSERT_EQ(heard_.notes.size(), 2U);
    EXPECT_EQ(heard_.notes[1].first, 1U);
    EXPECT_NE(heard_.notes[1].second.find(std::to_string(frames) + " frame"), std::string::npos);
  }
  heard_.notes.clear();
  ASSERT_EQ(score(std::vector<float>(5 * 3 * 31 * 40, 0.5F), {kMoves}, {5, 3, 31, 40}, values), THALWEG_OK);
  EXPECT_TRUE(all_unscored(values, 0));
  ASSERT_EQ(heard_.notes.size(), 1U);
  EXPECT_NE(heard_.notes[0].second.find("31 x 40"), std::string::npos);
}

TEST_F(MotionPlugin, RefusesFramesThatAreNotRgb) {
  std::vector<float> values;
  EXPECT_EQ(score(std::vector<float>(9 * 4 * 32 * 32, 0.5F), {kMoves}, {9, 4, 32, 32}, values),
            THALWEG_INVALID_ARGUMENT);
}

TEST_F(MotionPlugin, LeavesWhatItCannotReadUnscored) {
  std::vector<float> rgb, values;
  for (int i = 0; i < 3; ++i) append(Clip::of(scene_with(kMoves)), rgb);
  rgb[20000] = std::numeric_limits<float>::infinity();
  for (int again = 0; again < 2; ++again) {
    ASSERT_EQ(score(rgb, {kMoves, "a portrait of a cat", kMoves}, {9, 3, 32, 32}, values), THALWEG_OK);
  }
  EXPECT_TRUE(all_unscored(values, 0) && all_unscored(values, 1));
  EXPECT_EQ(values[2 * kDimensions], 1.0F);
  ASSERT_EQ(heard_.lines.size(), 1U);
  EXPECT_NE(heard_.lines[0].find("portrait"), std::string::npos);
  ASSERT_EQ(heard_.notes.size(), 4U);
  EXPECT_NE(heard_.notes[0].second.find("finite"), std::string::npos);
  EXPECT_NE(heard_.notes[1].second.find("motion grammar"), std::string::npos);
}

}  // namespace
}  // namespace thalweg::moving_scenes
