#include "pipelines/scenes/scene.h"

#include <algorithm>
#include <cmath>

#include "pipelines/scenes/random.h"

namespace thalweg::scenes {

namespace {

constexpr float kMinRadius = 6.0F;
constexpr float kMaxRadius = 10.5F;
constexpr float kMargin = 1.5F;    // between an object and the edge of the canvas
constexpr float kGap = 4.0F;       // between the bounding squares of two objects
constexpr float kMaxSlip = 14.0F;  // of two related objects, across the relation's direction
constexpr int kTries = 200;

Caption random_caption(Random& random, Split split) {
  int percent = random.below(100);
  const auto* share = shares_of(split).data();
  while (percent >= share->percent) percent -= (share++)->percent;
  const std::vector<Caption> captions = captions_of(share->family);
  return captions[static_cast<std::size_t>(random.below(static_cast<int>(captions.size())))];
}

bool apart(const SceneObject& a, const SceneObject& b) {
  return std::max(std::abs(a.x - b.x), std::abs(a.y - b.y)) >= a.radius + b.radius + kGap;
}

// Clearly so: separated along the named direction and at most `slip` off across it.
bool related(Relation relation, const SceneObject& a, const SceneObject& b, float slip) {
  const bool sideways = relation == Relation::kLeftOf || relation == Relation::kRightOf;
  const bool forward = relation == Relation::kRightOf || relation == Relation::kBelow;
  const float along = (sideways ? a.x - b.x : a.y - b.y) * (forward ? 1.0F : -1.0F);
  const float across = sideways ? a.y - b.y : a.x - b.x;
  return along >= a.radius + b.radius + kGap && std::abs(across) <= slip;
}

// `first`: so many of the objects are of the caption's first kind; `added` is none of them once all are
// there.
bool fits(const std::vector<SceneObject>& objects, const SceneObject& added, const Caption& caption) {
  const auto first = static_cast<std::size_t>(caption.kinds[0].count);
  const bool to_relate = caption.relation != Relation::kNone && objects.size() >= first;
  const float slip =
      to_relate && first + static_cast<std::size_t>(caption.kinds[1].count) > 2 ? kCanvas : kMaxSlip;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    if (!apart(objects[i], added)) return false;
    if (to_relate && i < first && !related(caption.relation, objects[i], added, slip)) return false;
  }
  return true;
}

bool place_all(const Caption& caption, float max_radius, Random& random, std::vector<SceneObject>& objects) {
  objects.clear();
  for (const Kind& kind : caption.kinds) {
    for (int i = 0; i < kind.count; ++i) {
      SceneObject object{kind.color, kind.shape, 0, 0, random.uniform(kMinRadius, max_radius)};
      const float edge = object.radius + kMargin;
      bool placed = false;
      for (int attempt = 0; attempt < kTries && !placed; ++attempt) {
        object.x = random.uniform(edge, kCanvas - edge);
        object.y = random.uniform(edge, kCanvas - edge);
        placed = fits(objects, object, caption);
      }
      if (!placed) return false;
      objects.push_back(object);
    }
  }
  return true;
}

// Crowded draws are drawn again with smaller objects; at the least radius five of them soon find room.
Scene lay_out(const Caption& caption, Random& random) {
  Scene scene{to_text(caption), {}};
  float max_radius = kMaxRadius;
  while (!place_all(caption, max_radius, random, scene.objects)) {
    max_radius = std::max(kMinRadius, max_radius - 0.25F);
  }
  return scene;
}

}  // namespace

Scene random_scene(std::uint64_t seed, std::uint64_t index, Split split) {
  Random random(seed, index);
  return lay_out(random_caption(random, split), random);
}

Scene training_scene(std::uint64_t seed, std::uint64_t index) {
  Random random(seed, index);
  Caption caption = random_caption(random, Split::kWorld);
  while (held_out(to_text(caption))) caption = random_caption(random, Split::kWorld);
  return lay_out(caption, random);
}

}  // namespace thalweg::scenes
