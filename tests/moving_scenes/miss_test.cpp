// Clips that are nearly what a caption says: one word wrong, or frames that a film could not have.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "tests/moving_scenes/clip.h"

namespace thalweg::moving_scenes {
namespace {

using motion::Scores;

int another(int index, int number) {
  return (index + 1) % number;
}

int another_color(const Caption& caption) {
  const auto used = [&](int color) {
    for (const Actor& actor : caption.actors) {
      if (actor.color == color || (actor.action.verb == Verb::kTurns && actor.action.color == color))
        return true;
    }
    return false;
  };
  int color = 0;
  while (used(color)) ++color;
  return color;
}

// Captions that differ from this one in one colour, shape, verb or direction, or in an order.
std::vector<Caption> near_misses(const Caption& caption) {
  std::vector<Caption> misses;
  const auto change = [&](const auto& edit) {
    misses.push_back(caption);
    edit(misses.back());
  };
  for (std::size_t a = 0; a < caption.actors.size(); ++a) {
    const Action& action = caption.actors[a].action;
    change([&](Caption& c) { c.actors[a].color = another_color(caption); });
    change([&](Caption& c) { c.actors[a].shape = another(c.actors[a].shape, scenes::kShapes); });
    change([&](Caption& c) { c.actors[a].shape = another(another(c.actors[a].shape, 3), scenes::kShapes); });
    for (int verb = 0; verb < 8; ++verb) {
      if (verb == static_cast<int>(action.verb)) continue;
      change([&](Caption& c) {
        c.actors[a].action = {static_cast<Verb>(verb), Direction::kLeft, Direction::kUp,
                              another_color(caption)};
      });
    }
    for (int d = 0; d < 4; ++d) {
      const auto direction = static_cast<Direction>(d);
      const bool moves = action.verb == Verb::kMoves || action.verb == Verb::kMovesThen;
      if (moves && direction != action.direction && direction != action.then) {
        change([&](Caption& c) { c.actors[a].action.direction = direction; });
      }
      if (action.verb == Verb::kMovesThen && direction != action.direction && direction != action.then) {
        change([&](Caption& c) { c.actors[a].action.then = direction; });
      }
    }
    if (action.verb == Verb::kMovesThen) {
      change([&](Caption& c) { std::swap(c.actors[a].action.direction, c.actors[a].action.then); });
    }
    if (action.verb == Verb::kTurns) {
      change([&](Caption& c) { c.actors[a].action.color = another_color(caption); });
      change([&](Caption& c) { std::swap(c.actors[a].action.color, c.actors[a].color); });
    }
  }
  if (caption.actors.size() == 2) {
    change([&](Caption& c) { std::swap(c.actors[0].action, c.actors[1].action); });
    change([&](Caption& c) { std::swap(c.actors[0].shape, c.actors[1].shape); });
    change([&](Caption& c) { c.actors.pop_back(); });
    std::erase_if(misses, [&](const Caption& c) { return to_text(c) == to_text(caption); });
  } else {
    const int color = another_color(caption);
    change([&](Caption& c) { c.actors.push_back({color, 0, {}}); });
  }
  return misses;
}

TEST(MotionMisses, NeverPassesANearMiss) {
  int tried = 0;
  for (std::uint64_t index = 0; index < 600; ++index) {
    const Scene scene = random_scene(21, index);
    const auto objects_F = Clip::of(scene, index).objects();
    for (const Caption& miss : near_misses(find_caption(scene.caption))) {
      const Scores scores = motion::score_frames(objects_F, motion::parse_caption(to_text(miss)));
      EXPECT_EQ(scores[motion::kStrict], 0.0F) << scene.caption << " as " << to_text(miss);
      EXPECT_LT(scores[motion::kSoft], 1.0F);
      ++tried;
    }
  }
  EXPECT_GT(tried, 8000);
}

// What happens when the film runs backwards.
std::string backwards(Caption caption) {
  constexpr std::array<Direction, 4> opposite = {Direction::kRight, Direction::kLeft, Direction::kDown,
                                                 Direction::kUp};
  constexpr std::array<Verb, 8> verbs = {Verb::kMoves,    Verb::kMovesThen, Verb::kShrinks, Verb::kGrows,
                                         Verb::kVanishes, Verb::kAppears,   Verb::kTurns,   Verb::kStays};
  const auto turned = [&](Direction direction) { return opposite.at(static_cast<std::size_t>(direction)); };
  for (Actor& actor : caption.actors) {
    Action& action = actor.action;
    action.verb = verbs.at(static_cast<std::size_t>(action.verb));
    action.direction = turned(action.direction);
    if (action.verb == Verb::kTurns) std::swap(actor.color, action.color);
    if (action.verb != Verb::kMovesThen) continue;
    const Direction last = turned(action.then);
    action.then = action.direction;
    action.direction = last;
  }
  return to_text(caption);
}

TEST(MotionMisses, AClipRunBackwardsShowsTheOpposite) {
  for (std::uint64_t index = 0; index < 600; ++index) {
    const Scene scene = random_scene(21, index);
    const Clip clip = Clip::of(scene, index).reversed();
    EXPECT_EQ(clip.strict(scene.caption), 0.0F) << scene.caption;
    EXPECT_EQ(clip.strict(backwards(find_caption(scene.caption))), 1.0F) << scene.caption;
  }
}

TEST(MotionMisses, FrozenAndDisorderedClipsFail) {
  for (std::uint64_t index = 0; index < 600; ++index) {
    const Scene scene = random_scene(21, index);
    const Clip clip = Clip::of(scene, index);
    for (const std::size_t f : {0U, 4U, 8U}) {
      EXPECT_EQ(clip.in_order(std::vector<std::size_t>(9, f)).strict(scene.caption), 0.0F) << scene.caption;
    }
    EXPECT_EQ(clip.in_order({0, 2, 4, 6, 8, 1, 3, 5, 7}).strict(scene.caption), 0.0F) << scene.caption;
    EXPECT_EQ(clip.in_order({5, 6, 7, 8, 0, 1, 2, 3, 4}).strict(scene.caption), 0.0F) << scene.caption;
  }
}

// A first and a last frame that are right, and nothing between.
TEST(MotionMisses, AJumpIsNoMove) {
  const Scene scene = scene_with("a red circle moves right");
  const Scores scores = Clip::of(scene).in_order({0, 0, 0, 0, 8, 8, 8, 8, 8}).score(scene.caption);
  EXPECT_EQ(scores[motion::kDirection], 1.0F);
  EXPECT_LT(scores[motion::kSteady], 1.0F);
  EXPECT_EQ(scores[motion::kStrict], 0.0F);
}

TEST(MotionMisses, AFrameWithoutItsObjectFails) {
  for (const char* caption :
       {"a red circle moves right", "a green square grows", "a red triangle turns cyan"}) {
    Clip clip = Clip::of(scene_with(caption));
    clip.frames[7].assign(clip.frames[7].size(), 0.97F);
    const Scores scores = clip.score(caption);
    EXPECT_EQ(scores[motion::kStrict], 0.0F) << caption;
    EXPECT_EQ(scores[motion::kCount], 8.0F / 9) << caption;
  }
}

// Where the first frame after an event lies.
std::size_t frame_of_event(const Scene& scene) {
  return static_cast<std::size_t>(std::ceil(scene.objects[0].event_time * 8));
}

TEST(MotionMisses, OneFrameAtAnEventMayBeHalfThere) {
  for (const char* caption : {"a red circle appears", "a cyan square appears", "a blue triangle vanishes"}) {
    for (std::uint64_t index = 0; index < 20; ++index) {
      const Scene scene = scene_with(caption, index);
      const bool appears = scene.objects[0].actor.action.verb == Verb::kAppears;
      const Clip clip = Clip::of(scene);
      const std::size_t after = frame_of_event(scene);
      for (const float share : {0.2F, 0.4F, 0.5F, 0.6F, 0.7F, 0.9F}) {
        Clip faded = clip;
        faded.mix(after - 1, after, share);
        EXPECT_EQ(faded.strict(caption), 1.0F) << caption << ' ' << share << ' ' << index;
      }
      Clip slow = clip;
      for (const std::size_t back : {1U, 2U}) slow.mix(after - back, after, appears ? 0.6F : 0.4F);
      EXPECT_EQ(slow.strict(caption), 0.0F) << caption << ' ' << index;
      Clip late = clip;  // half there far from the event
      late.mix(appears ? 0 : 8, appears ? 8 : 0, 0.6F);
      EXPECT_EQ(late.strict(caption), 0.0F) << caption << ' ' << index;
    }
  }
}

TEST(MotionMisses, TwoFramesOfATurnMayBeOfBothColors) {
  for (const char* caption :
       {"a red circle turns blue", "a yellow square turns purple", "a green triangle turns cyan",
        "a blue square turns yellow", "a cyan circle turns red"}) {
    for (std::uint64_t index = 0; index < 20; ++index) {
      const Scene scene = scene_with(caption, index);
      Clip clip = Clip::of(scene);
      const std::size_t after = frame_of_event(scene);
      clip.mix(after - 1, after, 0.5F);
      EXPECT_EQ(clip.strict(caption), 1.0F) << caption << ' ' << index;
      clip.frames[after] = clip.frames[after - 1];
      EXPECT_EQ(clip.strict(caption), 1.0F) << caption << ' ' << index;
      clip.frames[after + 1] = clip.frames[after];
      EXPECT_EQ(clip.strict(caption), 0.0F) << caption << ' ' << index;
    }
  }
}

TEST(MotionMisses, AHalfFadedMoverFails) {
  const Scene scene = scene_with("a red circle moves right");
  Clip clip = Clip::of(scene);
  for (float& value : clip.frames[4]) value += 0.5F * (0.97F - value);
  EXPECT_EQ(clip.strict(scene.caption), 0.0F);
}

}  // namespace
}  // namespace thalweg::moving_scenes
