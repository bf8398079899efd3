#include "pipelines/moving_scenes/scene.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <thread>

#include "engine/core/error.h"
#include "tests/moving_scenes/clip.h"

namespace thalweg::moving_scenes {
namespace {

bool same(const Scene& a, const Scene& b) {
  return a.caption == b.caption &&
         std::equal(a.objects.begin(), a.objects.end(), b.objects.begin(), b.objects.end(),
                    [](const MovingObject& p, const MovingObject& q) {
                      return p.x == q.x && p.y == q.y && p.radius == q.radius && p.reach == q.reach &&
                             p.growth == q.growth && p.event_time == q.event_time;
                    });
}

TEST(MovingScenes, AreAFunctionOfSeedAndIndex) {
  EXPECT_TRUE(same(random_scene(3, 11), random_scene(3, 11)));
  EXPECT_FALSE(same(random_scene(3, 11), random_scene(3, 12)));
  EXPECT_FALSE(same(random_scene(3, 11), random_scene(4, 11)));
  // Written down so that another machine or compiler that draws other scenes is noticed.
  EXPECT_EQ(random_scene(1, 0).caption, "a cyan square appears");
  EXPECT_EQ(random_scene(1, 3).caption, "a blue triangle moves right and a red square moves right");
}

TEST(MovingScenes, ComeInTheirShares) {
  constexpr int n = 20000;
  std::map<Kind, int> counts;
  for (int i = 0; i < n; ++i)
    ++counts[find_caption(random_scene(9, static_cast<std::uint64_t>(i)).caption).kind];
  int percents = 0;
  for (const auto& [kind, percent] : shares) {
    const double share = percent / 100.0;
    percents += percent;
    EXPECT_NEAR(counts[kind], n * share, 4.5 * std::sqrt(n * share * (1 - share)));
  }
  EXPECT_EQ(percents, 100);
}

TEST(MovingScenes, KeepInsideAndApartAtAllTimes) {
  for (std::uint64_t index = 0; index < 3000; ++index) {
    const Scene scene = random_scene(2, index);
    for (int i = 0; i <= 100; ++i) {
      std::vector<State> states;
      for (const MovingObject& object : scene.objects) {
        states.push_back(state_at(object, static_cast<float>(i) / 100));
        const State& s = states.back();
        EXPECT_TRUE(std::min(s.x, s.y) - s.radius >= 1 && std::max(s.x, s.y) + s.radius <= kCanvas - 1);
        EXPECT_TRUE(s.radius >= 3.5F && s.radius <= 9.3F) << s.radius;
      }
      if (states.size() < 2) continue;
      const float apart = std::max(std::abs(states[0].x - states[1].x), std::abs(states[0].y - states[1].y));
      EXPECT_GE(apart, states[0].radius + states[1].radius + 2.8F) << scene.caption;
    }
  }
}

TEST(MovingScenes, ObjectsDoWhatTheCaptionSays) {
  const auto ends = [](const char* caption) {
    const Scene scene = scene_with(caption);
    return std::array<State, 3>{state_at(scene.objects[0], 0), state_at(scene.objects[0], 0.5F),
                                state_at(scene.objects[0], 1)};
  };
  const auto [a, b, c] = ends("a red circle moves left");
  EXPECT_LE(c.x, a.x - 9);
  EXPECT_EQ(c.y, a.y);
  const auto [d, e, f] = ends("a red circle moves down then right");
  EXPECT_GE(e.y, d.y + 7);
  EXPECT_EQ(e.x, d.x);
  EXPECT_EQ(f.y, e.y);
  EXPECT_GE(f.x, e.x + 7);
  const auto [g, h, i] = ends("a red circle shrinks");
  EXPECT_LE(i.radius, g.radius / 1.69F);
  EXPECT_TRUE(h.radius < g.radius && i.radius < h.radius);
  const auto [j, k, l] = ends("a red circle appears");
  EXPECT_TRUE(!j.visible && l.visible);
  const auto [m, n, o] = ends("a red circle vanishes");
  EXPECT_TRUE(m.visible && !o.visible);
  const auto [p, q, r] = ends("a red circle turns cyan");
  EXPECT_TRUE(!p.turned && r.turned && q.x == p.x && q.visible);
}

TEST(MovingScenes, TrainingScenesAreNeverHeldOut) {
  int others = 0;
  for (std::uint64_t index = 0; index < 3000; ++index) {
    EXPECT_FALSE(held_out(training_scene(1, index).caption));
    others += held_out(random_scene(1, index).caption) ? 1 : 0;
  }
  EXPECT_GT(others, 200);
}

TEST(MovingScenes, RenderTheSameOnAnyNumberOfThreads) {
  constexpr std::size_t n = 64;
  std::vector<std::vector<Frame>> alone(n), together(n);
  for (std::size_t i = 0; i < n; ++i) alone[i] = Clip::of(random_scene(5, i), i).frames;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&together, t] {
      for (std::size_t i = n; i-- > 0;) {
        if (i % 4 == t) together[i] = Clip::of(random_scene(5, i), i).frames;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(alone, together);
  EXPECT_NE(alone[0], Clip::of(random_scene(5, 0), 1).frames);
}

TEST(MovingScenes, RenderInRangeOnASteadyGround) {
  for (std::uint64_t index = 0; index < 200; ++index) {
    const Clip clip = Clip::of(random_scene(6, index), index);
    for (const Frame& frame : clip.frames) {
      const auto [least, most] = std::minmax_element(frame.begin(), frame.end());
      EXPECT_TRUE(*least >= 0.0F && *most <= 1.0F);
      EXPECT_TRUE(frame[0] >= 0.94F && frame[0] == frame[32 * 32] && frame[0] == clip.frames[0][0]);
    }
  }
}

TEST(MovingScenes, MoreFramesShowTheSameTimes) {
  for (std::uint64_t index = 0; index < 20; ++index) {
    const Scene scene = random_scene(8, index);
    const Clip few = Clip::of(scene, index, 32, 5), many = Clip::of(scene, index, 32, 17);
    for (std::size_t f = 0; f < 5; ++f) EXPECT_EQ(few.frames[f], many.frames[4 * f]) << index << ' ' << f;
  }
}

TEST(MovingScenes, RenderRefusesBadSizesAndLengths) {
  std::vector<float> none;
  const Scene scene = random_scene(1, 1);
  for (const int side : {-1, 0, 15, 4097}) EXPECT_THROW(render(scene, 0, none.data(), side), Error) << side;
  for (const int frames : {-3, 0, 1, 4, 6, 7, 8, 1029}) {
    EXPECT_THROW(render(scene, 0, none.data(), 32, frames), Error) << frames;
  }
}

}  // namespace
}  // namespace thalweg::moving_scenes
