#include "plugins/scene/verifier.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "pipelines/scenes/random.h"
#include "tests/scenes/canvas.h"

namespace thalweg::scenes {
namespace {

using namespace ::scene;

constexpr Rgb red = {0.9F, 0.12F, 0.12F}, blue = {0.1F, 0.2F, 0.9F};
constexpr int kRed = 0, kBlue = 2, kCircle = 0, kSquare = 1, kTriangle = 2;

TEST(SceneVerifier, PassesWhatTheWorldRenders) {
  for (std::uint64_t index = 0; index < 2000; ++index) {
    const thalweg::scenes::Scene scene = random_scene(21, index);
    const Scores scores = Canvas::of(scene, index).score(scene.caption);
    for (int k = 0; k < kDimensions; ++k) {
      const float value = scores[static_cast<std::size_t>(k)];
      EXPECT_TRUE(value == 1.0F || (k == scene::kPosition && std::isnan(value)))
          << scene.caption << ", index " << index << ": " << dimension_names[static_cast<std::size_t>(k)];
    }
  }
}

TEST(SceneVerifier, PassesTheHardSplit) {
  for (std::uint64_t index = 0; index < 600; ++index) {
    const thalweg::scenes::Scene scene = random_scene(25, index, Split::kHard);
    const Scores scores = Canvas::of(scene, index).score(scene.caption);
    EXPECT_EQ(scores[kStrict], 1.0F) << scene.caption << ", index " << index;
    EXPECT_EQ(scores[scene::kCount], 1.0F) << scene.caption << ", index " << index;
  }
}

TEST(SceneVerifier, PassesLargerPictures) {
  for (const int side : {96, 128, 256}) {
    for (std::uint64_t index = 0; index < 40; ++index) {
      const thalweg::scenes::Scene scene = random_scene(22, index);
      EXPECT_EQ(Canvas::of(scene, index, side).score(scene.caption)[kStrict], 1.0F) << side << ' ' << index;
    }
  }
}

TEST(SceneVerifier, AnEmptyPictureHasNothing) {
  const Scores scores = Canvas().score("a red circle left of a blue square");
  for (const float value : scores) EXPECT_EQ(value, 0.0F);
  EXPECT_TRUE(std::isnan(Canvas().score("two red circles")[scene::kPosition]));
}

TEST(SceneVerifier, NoiseIsNoScene) {
  Random random(1, 1);
  Canvas canvas;
  for (float& value : canvas.rgb_3HW) value = random.uniform(0, 1);
  EXPECT_EQ(canvas.score("a red circle")[kStrict], 0.0F);
  EXPECT_LT(canvas.score("a red circle")[kSoft], 0.2F);
  for (float& value : canvas.rgb_3HW) value = 0.5F;
  EXPECT_EQ(canvas.score("a red circle")[kSoft], 0.0F);
  EXPECT_LE(canvas.objects().size(), 1U);
}

TEST(SceneVerifier, WrongColorFailsColor) {
  const Canvas canvas = Canvas::of(scene_of({{kBlue, kCircle, 30, 30, 8}}));
  const Scores scores = canvas.score("a red circle");
  EXPECT_EQ(scores[kStrict], 0.0F);
  EXPECT_EQ(scores[kSoft], 0.0F);
  EXPECT_EQ(scores[kColor], 0.0F);
  EXPECT_EQ(scores[kShape], 1.0F);
  EXPECT_EQ(scores[kCount], 1.0F);
  EXPECT_FLOAT_EQ(scores[kExtras], 1 / 1.5F);
}

TEST(SceneVerifier, WrongShapeFailsShape) {
  const Scores scores = Canvas::of(scene_of({{kRed, kSquare, 30, 30, 8}})).score("a red circle");
  EXPECT_EQ(scores[kStrict], 0.0F);
  EXPECT_EQ(scores[kSoft], 0.25F);
  EXPECT_EQ(scores[kShape], 0.0F);
  EXPECT_EQ(scores[kColor], 1.0F);
  EXPECT_EQ(scores[kExtras], 1.0F);
}

TEST(SceneVerifier, ExtraAndMissingObjectsFailCount) {
  const std::vector<SceneObject> two = {{kRed, kCircle, 15, 15, 8}, {kRed, kCircle, 45, 45, 8}};
  const Scores extra = Canvas::of(scene_of(two)).score("a red circle");
  EXPECT_EQ(extra[kStrict], 0.0F);
  EXPECT_FLOAT_EQ(extra[kSoft], 1 / 1.5F);
  EXPECT_EQ(extra[kCount], 0.0F);
  EXPECT_EQ(extra[kColor], 0.5F);
  const Scores missing = Canvas::of(scene_of(two)).score("four red circles");
  EXPECT_EQ(missing[kStrict], 0.0F);
  EXPECT_EQ(missing[kSoft], 0.5F);
  EXPECT_EQ(missing[kCount], 0.5F);
  EXPECT_EQ(missing[kExtras], 1.0F);
}

TEST(SceneVerifier, WrongRelationFailsPosition) {
  const Canvas canvas = Canvas::of(scene_of({{kRed, kCircle, 15, 30, 8}, {kBlue, kSquare, 45, 32, 8}}));
  for (const auto& [words, holds] : {std::pair{"left of", 1.0F}, {"right of", 0.0F}, {"above", 0.0F}}) {
    const Scores scores = canvas.score(std::string("a red circle ") + words + " a blue square");
    EXPECT_EQ(scores[kStrict], holds);
    EXPECT_EQ(scores[scene::kPosition], holds);
    EXPECT_FLOAT_EQ(scores[kSoft], (2 + holds) / 3);
    EXPECT_EQ(scores[kCount], 1.0F);
  }
  EXPECT_EQ(canvas.score("a blue square right of a red circle")[kStrict], 1.0F);
}

// Each object of the first group to each of the second: four pairs here, of which none, one or two are wrong.
TEST(SceneVerifier, ARelationOfGroupsIsOfAllTheirPairs) {
  for (const auto& [x, share] : {std::pair{15.0F, 1.0F}, {40.0F, 0.75F}, {54.0F, 0.5F}}) {
    const Canvas canvas = Canvas::of(scene_of({{kRed, kCircle, 12, 12, 7},
                                               {kRed, kCircle, x, 54, 7},
                                               {kBlue, kSquare, 37, 12, 7},
                                               {kBlue, kSquare, 54, 32, 7}}));
    const Scores scores = canvas.score("two red circles left of two blue squares");
    EXPECT_EQ(scores[scene::kPosition], share);
    EXPECT_EQ(scores[kStrict], share == 1.0F ? 1.0F : 0.0F);
    EXPECT_FLOAT_EQ(scores[kSoft], (2 + share) / 3);
  }
  const Canvas missing = Canvas::of(scene_of({{kRed, kCircle, 12, 12, 7}, {kBlue, kSquare, 37, 12, 7}}));
  const Scores scores = missing.score("two red circles left of a blue square");
  EXPECT_EQ(scores[scene::kPosition], 1.0F);
  EXPECT_FLOAT_EQ(scores[kSoft], (0.75F * 0.5F + 0.25F * 0.5F + 1 + 1) / 3);
  EXPECT_EQ(scores[kStrict], 0.0F);
}

TEST(SceneVerifier, CentresMustLieEightPixelsApart) {
  for (const auto& [offset, holds] : {std::pair{7.5F, 0.0F}, {8.5F, 1.0F}}) {
    const Canvas canvas =
        Canvas::of(scene_of({{kRed, kCircle, 30, 15, 8}, {kBlue, kCircle, 30 + offset, 45, 8}}));
    EXPECT_EQ(canvas.score("a red circle left of a blue circle")[scene::kPosition], holds);
    EXPECT_EQ(canvas.score("a blue circle right of a red circle")[scene::kPosition], holds);
  }
}

// The dead zones: a shape between two others is neither, at any size and place of the world.
TEST(SceneVerifier, InBetweenShapesAreNone) {
  Random random(4, 4);
  for (int i = 0; i < 60; ++i) {
    const float x = random.uniform(25, 39), y = random.uniform(25, 39), radius = random.uniform(6.5F, 10.5F);
    for (const float power : {0.7F, 1.0F, 1.4F, 2.8F, 3.0F, 3.2F}) {
      Canvas canvas;
      canvas.superellipse(red, x, y, radius, power);
      const std::vector<Object> objects = canvas.objects();
      ASSERT_EQ(objects.size(), 1U);
      EXPECT_EQ(objects[0].color, kRed);
      EXPECT_EQ(objects[0].shape, kNothing) << power << " radius " << radius << " fill " << objects[0].fill
                                            << " mismatch " << objects[0].mismatch;
    }
  }
}

TEST(SceneVerifier, OtherShapesAreNone) {
  const std::vector<std::pair<const char*, std::function<bool(float, float)>>> others = {
      {"triangle on its head", [](float x, float y) { return y > 22 && std::abs(x - 32) < (42 - y) / 2; }},
      {"trapezoid",
       [](float x, float y) { return std::abs(y - 32) < 8 && std::abs(x - 32) < 6 + (y - 32) / 3; }},
      {"half disc", [](float x, float y) { return y < 34 && std::hypot(x - 32, y - 34) < 10; }},
      {"ring", [](float x, float y) { return std::abs(std::hypot(x - 32, y - 32) - 7) < 3; }},
      {"bar", [](float x, float y) { return std::abs(x - 32) < 12 && std::abs(y - 32) < 6; }},
      {"ellipse", [](float x, float y) { return std::hypot((x - 32) / 12, (y - 32) / 7) < 1; }},
      {"cross",
       [](float x, float y) {
         return std::max(std::abs(x - 32), std::abs(y - 32)) < 9 &&
                std::min(std::abs(x - 32), std::abs(y - 32)) < 5;
       }},
      {"pincushion", [](float x, float y) {
         const float u = std::abs(x - 32) / 9, v = std::abs(y - 32) / 9;
         return u < 0.8F + 0.2F * v * v && v < 0.8F + 0.2F * u * u;
       }}};
  for (const auto& [name, inside] : others) {
    Canvas canvas;
    canvas.fill(red, inside);
    const std::vector<Object> objects = canvas.objects();
    ASSERT_EQ(objects.size(), 1U) << name;
    EXPECT_EQ(objects[0].shape, kNothing) << name << " fill " << objects[0].fill << " mismatch "
                                          << objects[0].mismatch << " aspect " << objects[0].aspect;
  }
}

TEST(SceneVerifier, ABlobOfTwoColorsIsNoCleanObject) {
  for (const float seam : {27.0F, 29.0F, 32.0F, 37.0F}) {
    Canvas canvas;
    canvas.fill(red, [](float x, float y) { return std::hypot(x - 32, y - 32) < 9; });
    canvas.fill(blue, [=](float x, float y) { return x > seam && std::hypot(x - 32, y - 32) < 9; });
    const std::vector<Object> objects = canvas.objects();
    ASSERT_EQ(objects.size(), 1U);
    EXPECT_EQ(objects[0].color, kNothing) << seam;
    EXPECT_EQ(canvas.score("a red circle")[kSoft], 0.0F);
  }
}

TEST(SceneVerifier, MergedObjectsAreOneShapeless) {
  Canvas canvas;
  for (const float x : {24.0F, 38.0F}) canvas.superellipse(red, x, 32, 8, 2);
  ASSERT_EQ(canvas.objects().size(), 1U);
  EXPECT_EQ(canvas.objects()[0].shape, kNothing);
  EXPECT_EQ(canvas.score("two red circles")[kStrict], 0.0F);
}

TEST(SceneVerifier, ColorsOutsideThePaletteAreExtras) {
  for (const Rgb& color : {Rgb{0, 0, 0}, Rgb{0.4F, 0.4F, 0.4F}, Rgb{0.55F, 0.35F, 0.2F}}) {
    Canvas canvas = Canvas::of(scene_of({{kRed, kTriangle, 15, 15, 9}}));
    canvas.superellipse(color, 44, 44, 8, 2);
    const Scores scores = canvas.score("a red triangle");
    EXPECT_EQ(scores[kStrict], 0.0F);
    EXPECT_FLOAT_EQ(scores[kSoft], 1 / 1.5F);
  }
}

TEST(SceneVerifier, SpecksDoNotCount) {
  for (const auto& [side, objects] : {std::pair{5.0F, 1U}, {6.0F, 2U}}) {
    Canvas canvas = Canvas::of(scene_of({{kRed, kTriangle, 15, 15, 9}}));
    const float edge = 40 + side;
    canvas.fill(blue, [=](float x, float y) { return x > 40 && y > 40 && x < edge && y < edge; });
    EXPECT_EQ(canvas.objects().size(), objects);
  }
}

TEST(SceneVerifier, StrictIsSoftAtOne) {
  int strict = 0;
  for (std::uint64_t index = 0; index < 400; ++index) {
    const Canvas canvas = Canvas::of(random_scene(23, index), index);
    const Scores scores = canvas.score(random_scene(24, index % 40).caption);
    EXPECT_EQ(scores[kStrict] == 1.0F, scores[kSoft] == 1.0F);
    EXPECT_LE(scores[kSoft], 1.0F);
    strict += scores[kStrict] == 1.0F ? 1 : 0;
  }
  EXPECT_LT(strict, 20);
}

TEST(SceneVerifier, RefusesBadSizes) {
  ObjectFinder finder;
  std::vector<float> rgb(3 * 64 * 64);
  EXPECT_THROW(finder.find(rgb.data(), 7, 64), std::invalid_argument);
  EXPECT_THROW(finder.find(rgb.data(), 64, 0), std::invalid_argument);
  EXPECT_THROW(finder.find(rgb.data(), 64, 1 << 20), std::invalid_argument);
}

}  // namespace
}  // namespace thalweg::scenes
