#include "plugins/motion/score.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>
#include <utility>

#include "tests/moving_scenes/clip.h"

namespace thalweg::moving_scenes {
namespace {

using motion::Scores;
using scenes::Rgb;

constexpr Rgb red = {0.9F, 0.12F, 0.12F}, blue = {0.1F, 0.2F, 0.9F};

// A clip of an object that `inside(x, y, time)` describes.
template <typename Inside>
Clip draw(const Rgb& color, Inside inside, int side = 32, int frames = 9) {
  Clip clip{side, {}};
  for (int f = 0; f < frames; ++f) {
    scenes::Canvas canvas(side);
    const float time = static_cast<float>(f) / static_cast<float>(frames - 1);
    canvas.fill(color, [&](float x, float y) { return inside(x, y, time); });
    clip.frames.push_back(canvas.rgb_3HW);
  }
  return clip;
}

enum class Softness { kSharp, kBinomial, kBox };

Clip as_decoded(std::uint64_t index, Softness softness, float noise) {
  Clip clip = Clip::of(random_scene(21, index), index);
  if (softness != Softness::kSharp) clip.blur(softness == Softness::kBox ? 1.0F : 2.0F);
  if (noise > 0) clip.add_noise(noise, index);
  return clip;
}

TEST(MotionVerifier, PassesWhatTheWorldRenders) {
  for (std::uint64_t index = 0; index < 3000; ++index) {
    const std::string caption = random_scene(21, index).caption;
    const Scores scores = as_decoded(index, Softness::kSharp, 0).score(caption);
    for (std::size_t k = 0; k < scores.size(); ++k) {
      const bool may_lack = k == motion::kDirection || k == motion::kEvent;
      EXPECT_TRUE(scores[k] == 1.0F || (may_lack && std::isnan(scores[k])))
          << caption << ", index " << index << ": " << motion::dimension_names[k] << ' ' << scores[k];
    }
  }
}

// A codec's 3 x 3 blur, and noise.
TEST(MotionVerifier, PassesSoftAndNoisyClips) {
  for (const Softness softness : {Softness::kSharp, Softness::kBinomial, Softness::kBox}) {
    int strict = 0;
    constexpr int n = 1000;
    for (std::uint64_t index = 0; index < n; ++index) {
      const Clip clip = as_decoded(index, softness, 0.03F);
      strict += clip.strict(random_scene(21, index).caption) == 1.0F ? 1 : 0;
    }
    EXPECT_GE(strict, n * 99 / 100) << static_cast<int>(softness);
  }
}

TEST(MotionVerifier, PassesFramesThatSmearIntoEachOther) {
  int strict = 0;
  for (std::uint64_t index = 0; index < 500; ++index) {
    Clip clip = as_decoded(index, Softness::kSharp, 0);
    clip.smear(0.15F);
    strict += clip.strict(random_scene(21, index).caption) == 1.0F ? 1 : 0;
  }
  EXPECT_GE(strict, 495);
}

TEST(MotionVerifier, PassesOtherSizesAndLengths) {
  for (const auto& [side, frames] :
       {std::pair{32, 5}, {32, 17}, {32, 81}, {48, 9}, {63, 9}, {64, 9}, {100, 5}, {128, 13}, {256, 5}}) {
    for (std::uint64_t index = 0; index < 40; ++index) {
      const Scene scene = random_scene(22, index);
      EXPECT_EQ(Clip::of(scene, index, side, frames).strict(scene.caption), 1.0F)
          << side << ' ' << frames << ' ' << scene.caption << ' ' << index;
    }
  }
}

TEST(MotionVerifier, SeldomPassesAnothersCaption) {
  int strict = 0, others = 0;
  for (std::uint64_t index = 0; index < 2000; ++index) {
    const std::string caption = random_scene(21, index + 1).caption;
    if (caption == random_scene(21, index).caption) continue;
    ++others;
    strict += as_decoded(index, Softness::kSharp, 0).strict(caption) == 1.0F ? 1 : 0;
  }
  EXPECT_GT(others, 1900);
  EXPECT_EQ(strict, 0);
}

// An object that moves to the right for a caption that says so, of another shape than any.
Clip moving_superellipse(float power, float radius, float x, float y) {
  return draw(red, [=](float u, float v, float time) {
    return std::pow(std::abs(u - x - 12 * time) / radius, power) +
               std::pow(std::abs(v - y) / radius, power) <=
           1;
  });
}

TEST(MotionVerifier, SquirclesAreNoShape) {
  scenes::Random random(4, 4);
  for (int i = 0; i < 6; ++i) {
    const float radius = random.uniform(4.4F, 6.2F), x = random.uniform(8, 11), y = random.uniform(10, 22);
    EXPECT_EQ(moving_superellipse(2, radius, x, y).strict("a red circle moves right"), 1.0F) << radius;
    EXPECT_EQ(moving_superellipse(40, radius, x, y).strict("a red square moves right"), 1.0F) << radius;
    for (const float power : {0.7F, 1.0F, 2.8F, 3.0F, 3.2F, 3.5F, 4.0F}) {
      for (const bool soft : {false, true}) {
        Clip clip = moving_superellipse(power, radius, x, y);
        if (soft) clip.blur(2.0F);
        for (const char* caption : {"a red circle moves right", "a red square moves right"}) {
          const Scores scores = clip.score(caption);
          EXPECT_EQ(scores[motion::kStrict], 0.0F) << caption << ' ' << power << ' ' << radius << ' ' << soft;
          EXPECT_LT(scores[motion::kShape], 1.0F);
          EXPECT_EQ(scores[motion::kColor], 1.0F);
          EXPECT_EQ(scores[motion::kDirection], 1.0F);
        }
      }
    }
  }
}

// Objects that keep their shape in seven of nine frames pass, in six they do not.
TEST(MotionVerifier, SevenOfNineFramesMustShowTheShape) {
  for (const auto& [wrong, holds] : {std::pair{2.0F, 1.0F}, {3.0F, 0.0F}}) {
    const float until = (wrong - 0.5F) / 8;
    const Clip clip = draw(red, [=](float x, float y, float time) {
      const float u = std::abs(x - 10 - 12 * time), v = std::abs(y - 16);
      return time < until ? std::max(u, v) < 4.43F : std::hypot(u, v) < 5;
    });
    const Scores scores = clip.score("a red circle moves right");
    EXPECT_EQ(scores[motion::kStrict], holds) << wrong;
    EXPECT_EQ(scores[motion::kShape], holds == 1.0F ? 1.0F : 6.0F / 7);
  }
}

TEST(MotionVerifier, OtherObjectsAreExtras) {
  const Scene scene = scene_with("a red circle grows", 3);
  for (const std::size_t frames : {1U, 9U}) {
    Clip clip = Clip::of(scene);
    for (std::size_t f = 0; f < frames; ++f) {
      scenes::Canvas canvas(32);
      canvas.rgb_3HW = clip.frames[f];
      canvas.superellipse(blue, 3, 3, 2.5F, 2);
      clip.frames[f] = canvas.rgb_3HW;
    }
    const Scores scores = clip.score(scene.caption);
    EXPECT_EQ(scores[motion::kStrict], 0.0F);
    EXPECT_FLOAT_EQ(scores[motion::kExtras], 1 / (1 + 0.5F * static_cast<float>(frames) / 9));
    EXPECT_FLOAT_EQ(scores[motion::kCount], 1 - static_cast<float>(frames) / 9);
    EXPECT_EQ(scores[motion::kEvent], 1.0F);
  }
}

TEST(MotionVerifier, ChecksThatDoNotApplyAreNoNumbers) {
  const std::vector<std::tuple<const char*, bool, bool>> cases = {
      {"a red circle moves left", true, false},
      {"a red circle moves left then up", true, false},
      {"a red circle stays", false, false},
      {"a red circle grows", false, true},
      {"a red circle vanishes", false, true},
      {"a red circle turns blue", false, true},
      {"a red circle moves left and a blue square appears", true, true},
      {"a red circle stays and a blue square stays", false, false}};
  const Clip clip = Clip::of(random_scene(1, 1));
  for (const auto& [caption, moves, happens] : cases) {
    const Scores scores = clip.score(caption);
    EXPECT_EQ(std::isnan(scores[motion::kDirection]), !moves) << caption;
    EXPECT_EQ(std::isnan(scores[motion::kEvent]), !happens) << caption;
    for (const auto k : {motion::kStrict, motion::kSoft, motion::kColor, motion::kShape, motion::kCount,
                         motion::kSteady, motion::kExtras}) {
      EXPECT_TRUE(scores[k] >= 0 && scores[k] <= 1) << caption;
    }
  }
}

TEST(MotionVerifier, StaysMeansToStay) {
  const Clip clip = draw(red, [](float x, float y, float) { return std::hypot(x - 16, y - 16) < 5; });
  EXPECT_EQ(clip.strict("a red circle stays"), 1.0F);
  const Clip slow =
      draw(red, [](float x, float y, float time) { return std::hypot(x - 13 - 6 * time, y - 16) < 5; });
  EXPECT_EQ(slow.strict("a red circle stays"), 0.0F);
}

// Two legs may also be opposite; the world never shows that, the grammar has it.
TEST(MotionVerifier, ThereAndBackIsAPath) {
  const auto there_and_back = [](float x, float y, float time) {
    return std::hypot(x - 10 - 10 * (1 - std::abs(2 * time - 1)), y - 16) < 5;
  };
  const Clip clip = draw(red, there_and_back);
  EXPECT_EQ(clip.strict("a red circle moves right then left"), 1.0F);
  EXPECT_EQ(clip.strict("a red circle moves left then right"), 0.0F);
  EXPECT_EQ(clip.strict("a red circle moves right"), 0.0F);
  EXPECT_EQ(clip.strict("a red circle stays"), 0.0F);
}

TEST(MotionVerifier, EmptyAndNoisyClipsHaveNothing) {
  Clip clip{32, std::vector<Frame>(9, Frame(3 * 32 * 32, 0.97F))};
  for (const char* caption : {"a red circle moves left", "a red circle appears", "a red circle stays",
                              "a red circle grows and a blue square vanishes"}) {
    const Scores scores = clip.score(caption);
    EXPECT_EQ(scores[motion::kSoft], 0.0F) << caption;
    EXPECT_EQ(scores[motion::kColor], 0.0F) << caption;
  }
  scenes::Random random(1, 1);
  for (Frame& frame : clip.frames) {
    for (float& value : frame) value = random.uniform(0, 1);
  }
  EXPECT_LT(clip.score("a red circle moves left")[motion::kSoft], 0.2F);
  for (Frame& frame : clip.frames) frame.assign(frame.size(), 0.0F);
  EXPECT_EQ(clip.score("a red circle moves left")[motion::kSoft], 0.0F);
}

// Partial credit, from nothing to everything.
TEST(MotionVerifier, SoftRisesWithWhatIsRight) {
  const char* caption = "a red circle moves right";
  const auto soft = [&](const Clip& clip) { return clip.score(caption)[motion::kSoft]; };
  const auto moving = [](float reach, bool square) {
    return draw(red, [=](float x, float y, float time) {
      const float u = std::abs(x - 10 - reach * time), v = std::abs(y - 16);
      return square ? std::max(u, v) < 4.5F : std::hypot(u, v) < 5;
    });
  };
  const float wrong_shape = soft(moving(0, true)), still = soft(moving(0, false)),
              slow = soft(moving(3, false)), square = soft(moving(12, true)), all = soft(moving(12, false));
  EXPECT_FLOAT_EQ(wrong_shape, 0.4F);
  EXPECT_FLOAT_EQ(still, 0.6F);
  EXPECT_NEAR(slow, 0.8F, 0.01F);
  EXPECT_FLOAT_EQ(square, 0.8F);
  EXPECT_EQ(all, 1.0F);
}

}  // namespace
}  // namespace thalweg::moving_scenes
