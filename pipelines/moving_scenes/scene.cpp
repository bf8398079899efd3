#include "pipelines/moving_scenes/scene.h"

#include <algorithm>
#include <cmath>

#include "pipelines/scenes/random.h"

namespace thalweg::moving_scenes {

namespace {

using scenes::Random;

constexpr float kMargin = 1.5F;  // between an object and the edge of the canvas
constexpr float kGap = 3.0F;     // between the bounding squares of two objects
constexpr int kTries = 200;
constexpr int kMoments = 33;  // at which paths are checked

struct Range {
  float low, high;
};

// Of one object alone, and of each of two, which have less room.
struct Sizes {
  Range radius, small_radius, growth, reach;
};
constexpr Sizes alone = {{4.4F, 6.2F}, {3.8F, 4.4F}, {1.7F, 2.1F}, {9.0F, 14.0F}};
constexpr Sizes of_two = {{4.0F, 5.0F}, {3.6F, 4.0F}, {1.7F, 1.9F}, {8.0F, 11.0F}};
constexpr Range kLegReach = {7.0F, 10.0F};
constexpr Range kEventTime = {0.3F, 0.65F};

float draw(Random& random, const Range& range) {
  return random.uniform(range.low, range.high);
}

float clamp_time(float time) {
  return std::clamp(time, 0.0F, 1.0F);
}

void advance(Direction direction, float distance, State& state) {
  const bool back = direction == Direction::kLeft || direction == Direction::kUp;
  const bool sideways = direction == Direction::kLeft || direction == Direction::kRight;
  (sideways ? state.x : state.y) += back ? -distance : distance;
}

Caption random_caption(Random& random, std::span<const KindShare> of_kinds = shares) {
  int percent = random.below(100);
  const KindShare* share = of_kinds.data();
  while (percent >= share->percent) percent -= (share++)->percent;
  const std::vector<Caption>& captions = captions_of(share->kind);
  return captions[static_cast<std::size_t>(random.below(static_cast<int>(captions.size())))];
}

MovingObject random_object(const Actor& actor, const Sizes& sizes, Random& random) {
  MovingObject object{actor};
  const Verb verb = actor.action.verb;
  object.reach = draw(random, verb == Verb::kMovesThen ? kLegReach : sizes.reach);
  object.event_time = draw(random, kEventTime);
  object.radius = draw(random, sizes.radius);
  if (verb == Verb::kGrows || verb == Verb::kShrinks) {
    object.radius = draw(random, sizes.small_radius);
    object.growth = draw(random, sizes.growth);
    if (verb == Verb::kShrinks) {
      object.radius *= object.growth;
      object.growth = 1 / object.growth;
    }
  }
  object.x = random.uniform(0, kCanvas);
  object.y = random.uniform(0, kCanvas);
  return object;
}

float moment(int i) {
  return static_cast<float>(i) / (kMoments - 1);
}

bool inside(const MovingObject& object) {
  for (int i = 0; i < kMoments; ++i) {
    const State s = state_at(object, moment(i));
    const float edge = s.radius + kMargin;
    if (std::min(s.x, s.y) < edge || std::max(s.x, s.y) > kCanvas - edge) return false;
  }
  return true;
}

bool apart(const MovingObject& a, const MovingObject& b) {
  for (int i = 0; i < kMoments; ++i) {
    const State p = state_at(a, moment(i)), q = state_at(b, moment(i));
    if (std::max(std::abs(p.x - q.x), std::abs(p.y - q.y)) < p.radius + q.radius + kGap) return false;
  }
  return true;
}

bool place_all(const Caption& caption, Random& random, std::vector<MovingObject>& objects) {
  objects.clear();
  for (const Actor& actor : caption.actors) {
    bool placed = false;
    for (int attempt = 0; attempt < kTries && !placed; ++attempt) {
      const MovingObject object = random_object(actor, caption.actors.size() == 1 ? alone : of_two, random);
      placed = inside(object) && (objects.empty() || apart(objects[0], object));
      if (placed) objects.push_back(object);
    }
    if (!placed) return false;
  }
  return true;
}

// Where the first object leaves no room, both are placed anew; two of the least sizes always find some.
Scene lay_out(const Caption& caption, Random& random) {
  Scene scene{to_text(caption), {}};
  while (!place_all(caption, random, scene.objects)) {
  }
  return scene;
}

}  // namespace

State state_at(const MovingObject& object, float time) {
  const Action& action = object.actor.action;
  State state{object.x, object.y, object.radius * (1 + (object.growth - 1) * time)};
  switch (action.verb) {
    case Verb::kMoves:
      advance(action.direction, object.reach * time, state);
      break;
    case Verb::kMovesThen:
      advance(action.direction, object.reach * clamp_time(2 * time), state);
      advance(action.then, object.reach * clamp_time(2 * time - 1), state);
      break;
    case Verb::kAppears:
      state.visible = time >= object.event_time;
      break;
    case Verb::kVanishes:
      state.visible = time < object.event_time;
      break;
    case Verb::kTurns:
      state.turned = time >= object.event_time;
      break;
    case Verb::kGrows:
    case Verb::kShrinks:
    case Verb::kStays:
      break;
  }
  return state;
}

Scene random_scene(std::uint64_t seed, std::uint64_t index) {
  Random random(seed, index);
  return lay_out(random_caption(random), random);
}

Scene training_scene(std::uint64_t seed, std::uint64_t index, std::span<const KindShare> of_kinds) {
  Random random(seed, index);
  Caption caption = random_caption(random, of_kinds);
  while (held_out(to_text(caption))) caption = random_caption(random, of_kinds);
  return lay_out(caption, random);
}

Scene scene_of(const Caption& caption, std::uint64_t seed, std::uint64_t index) {
  Random random(seed, index);
  return lay_out(caption, random);
}

Scene crowded_scene(std::uint64_t seed, std::uint64_t index) {
  constexpr int kCrowd = 5;
  Random random(seed + 1, index);
  Scene scene;
  for (int i = 0; i < kCrowd; ++i)
    scene.objects.push_back(random_object(random_caption(random).actors.front(), alone, random));
  return scene;
}

}  // namespace thalweg::moving_scenes
