#include "pipelines/scenes/scene.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/core/error.h"
#include "tests/scenes/canvas.h"

namespace thalweg::scenes {
namespace {

bool same(const Scene& a, const Scene& b) {
  return a.caption == b.caption &&
         std::equal(a.objects.begin(), a.objects.end(), b.objects.begin(), b.objects.end(),
                    [](const SceneObject& p, const SceneObject& q) {
                      return p.color == q.color && p.shape == q.shape && p.x == q.x && p.y == q.y &&
                             p.radius == q.radius;
                    });
}

TEST(Scenes, AreAFunctionOfSeedAndIndex) {
  EXPECT_TRUE(same(random_scene(3, 11), random_scene(3, 11)));
  EXPECT_FALSE(same(random_scene(3, 11), random_scene(3, 12)));
  EXPECT_FALSE(same(random_scene(3, 11), random_scene(4, 11)));
  EXPECT_FALSE(same(random_scene(3, 12), random_scene(4, 11)));
  // Written down so that another machine or compiler that draws other scenes is noticed.
  EXPECT_EQ(random_scene(1, 0).caption, "three cyan squares");
  EXPECT_EQ(random_scene(1, 3).caption, "two red triangles and a red circle");
}

class ScenesOf : public testing::TestWithParam<Split> {};
INSTANTIATE_TEST_SUITE_P(Splits, ScenesOf, testing::Values(Split::kWorld, Split::kHard));

TEST_P(ScenesOf, ComeInTheirShares) {
  const int n = GetParam() == Split::kWorld ? 20000 : 2000;
  std::map<Family, int> counts;
  for (int i = 0; i < n; ++i) {
    ++counts[find_caption(random_scene(9, static_cast<std::uint64_t>(i), GetParam()).caption).family];
  }
  for (const auto& [family, percent] : shares_of(GetParam())) {
    const double share = percent / 100.0;
    EXPECT_NEAR(counts[family], n * share, 4.5 * std::sqrt(n * share * (1 - share)));
  }
}

TEST_P(ScenesOf, KeepDistanceSizeAndMargin) {
  const std::uint64_t n = GetParam() == Split::kWorld ? 3000 : 600;
  for (std::uint64_t index = 0; index < n; ++index) {
    const Scene scene = random_scene(2, index, GetParam());
    for (std::size_t i = 0; i < scene.objects.size(); ++i) {
      const SceneObject& a = scene.objects[i];
      EXPECT_TRUE(a.radius >= 6 && a.radius <= 10.5F);
      EXPECT_TRUE(std::min(a.x, a.y) - a.radius >= 1 && std::max(a.x, a.y) + a.radius <= kCanvas - 1);
      for (std::size_t j = 0; j < i; ++j) {
        const SceneObject& b = scene.objects[j];
        EXPECT_GE(std::max(std::abs(a.x - b.x), std::abs(a.y - b.y)), a.radius + b.radius + 3.999F);
      }
    }
  }
}

TEST(Scenes, TrainingScenesAreNeverHeldOut) {
  int others = 0;
  for (std::uint64_t index = 0; index < 3000; ++index) {
    EXPECT_FALSE(held_out(training_scene(1, index).caption));
    others += held_out(random_scene(1, index).caption) ? 1 : 0;
  }
  EXPECT_GT(others, 200);
}

TEST(Scenes, RenderTheSamePictureAgain) {
  const Scene scene = random_scene(5, 17);
  EXPECT_EQ(Canvas::of(scene, 1).rgb_3HW, Canvas::of(scene, 1).rgb_3HW);
  EXPECT_NE(Canvas::of(scene, 1).rgb_3HW, Canvas::of(scene, 2).rgb_3HW);
}

TEST(Scenes, RenderInRangeOnANearWhiteGround) {
  for (std::uint64_t index = 0; index < 300; ++index) {
    const std::vector<float> rgb = Canvas::of(random_scene(6, index), index).rgb_3HW;
    const auto [least, most] = std::minmax_element(rgb.begin(), rgb.end());
    EXPECT_GE(*least, 0.0F);
    EXPECT_LE(*most, 1.0F);
    EXPECT_TRUE(rgb[0] >= 0.94F && rgb[0] == rgb[64 * 64] && rgb[0] == rgb[2 * 64 * 64]);
  }
}

// Sum of cover = area: circle pi r^2, square (1.8 r)^2, triangle half of 2 r times 1.8 r.
TEST(Scenes, ShapesHaveTheirAreas) {
  const double r = 9.3;
  const std::array<double, kShapes> areas = {3.14159265 * r * r, 3.24 * r * r, 1.8 * r * r};
  for (int shape = 0; shape < kShapes; ++shape) {
    const Canvas canvas = Canvas::of(scene_of({{2, shape, 31.3F, 30.8F, static_cast<float>(r)}}), 0, 256);
    const double ground = canvas.rgb_3HW[0], middle = canvas.rgb_3HW[(2 * 64 - 5) * 256 + 125];
    double cover = 0;
    for (std::size_t i = 0; i < 256 * 256; ++i) cover += (ground - canvas.rgb_3HW[i]) / (ground - middle);
    EXPECT_NEAR(cover / 16, areas.at(static_cast<std::size_t>(shape)), 1.0) << shape;
  }
}

TEST(Scenes, RenderRefusesBadSizes) {
  std::vector<float> rgb(16);
  EXPECT_THROW(render(random_scene(1, 1), 0, rgb.data(), 7), Error);
  EXPECT_THROW(render(random_scene(1, 1), 0, rgb.data(), -1), Error);
  EXPECT_THROW(render(random_scene(1, 1), 0, rgb.data(), 4097), Error);
}

}  // namespace
}  // namespace thalweg::scenes
