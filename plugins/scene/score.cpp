#include "score.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace scene {

namespace {

constexpr float kLeastOffset = 8.0F / 64;  // of the picture's side, between related centres
constexpr float kExactShare = 0.75F;       // of a group's credit; the rest is for the colour alone

// Objects counted by colour and shape; the last row and column hold those without.
struct Tally {
  std::array<std::array<int, kShapes + 1>, kColors + 1> of{};

  int color(std::size_t color) const {
    int sum = 0;
    for (const int count : of[color]) sum += count;
    return sum;
  }
  int shape(std::size_t shape) const {
    int sum = 0;
    for (const auto& row : of) sum += row[shape];
    return sum;
  }
};

std::size_t index_of(int word, int none) {
  return static_cast<std::size_t>(word == kNothing ? none : word);
}

Tally tally(const std::vector<Object>& objects) {
  Tally found;
  for (const Object& object : objects) {
    ++found.of[index_of(object.color, kColors)][index_of(object.shape, kShapes)];
  }
  return found;
}

Tally tally(const Caption& caption) {
  Tally asked;
  for (const Group& group : caption.groups) {
    asked.of[static_cast<std::size_t>(group.color)][static_cast<std::size_t>(group.shape)] += group.count;
  }
  return asked;
}

float ratio(int part, int whole) {
  return static_cast<float>(part) / static_cast<float>(whole);
}

bool related(const Object& first, const Object& second, Relation relation) {
  switch (relation) {
    case Relation::kLeftOf:
      return second.x - first.x >= kLeastOffset;
    case Relation::kRightOf:
      return first.x - second.x >= kLeastOffset;
    case Relation::kAbove:
      return second.y - first.y >= kLeastOffset;
    case Relation::kBelow:
      return first.y - second.y >= kLeastOffset;
    case Relation::kNone:
      break;
  }
  return false;
}

// Over all pairs of one object of either group; 0 where one of them is missing.
float position_share(const std::vector<Object>& objects, const Caption& caption) {
  const auto belongs = [](const Object& object, const Group& group) {
    return object.color == group.color && object.shape == group.shape;
  };
  int pairs = 0, right = 0;
  for (const Object& first : objects) {
    if (!belongs(first, caption.groups[0])) continue;
    for (const Object& second : objects) {
      if (!belongs(second, caption.groups[1])) continue;
      ++pairs;
      right += related(first, second, caption.relation) ? 1 : 0;
    }
  }
  return pairs == 0 ? 0.0F : ratio(right, pairs);
}

// Objects that no group asks for even by their colour.
int count_extras(const Tally& found, const Tally& asked) {
  int extras = found.color(kColors);
  for (std::size_t color = 0; color < kColors; ++color) {
    extras += std::max(0, found.color(color) - asked.color(color));
  }
  return extras;
}

float group_credit(const Group& group, const Tally& found, const Tally& asked) {
  const auto color = static_cast<std::size_t>(group.color), shape = static_cast<std::size_t>(group.shape);
  const int exact = std::min(found.of[color][shape], group.count);
  const int same_color = std::min(found.color(color), asked.color(color));
  return kExactShare * ratio(exact, group.count) + (1 - kExactShare) * ratio(same_color, asked.color(color));
}

}  // namespace

Scores score_objects(const std::vector<Object>& objects, const Caption& caption) {
  Scores scores{};
  const bool has_relation = caption.relation != Relation::kNone;
  scores[kPosition] = has_relation ? 0.0F : std::numeric_limits<float>::quiet_NaN();
  if (objects.empty()) return scores;
  const Tally found = tally(objects), asked = tally(caption);
  const int found_number = static_cast<int>(objects.size());
  int asked_number = 0, colors = 0, shapes = 0;
  float credit = 0;
  for (const Group& group : caption.groups) {
    asked_number += group.count;
    credit += group_credit(group, found, asked);
  }
  if (has_relation) credit += scores[kPosition] = position_share(objects, caption);
  for (std::size_t color = 0; color < kColors; ++color) {
    colors += std::min(found.color(color), asked.color(color));
  }
  for (std::size_t shape = 0; shape < kShapes; ++shape) {
    shapes += std::min(found.shape(shape), asked.shape(shape));
  }
  const int most = std::max(found_number, asked_number);
  const int terms = static_cast<int>(caption.groups.size()) + (has_relation ? 1 : 0);
  scores[kExtras] = 1 / (1 + 0.5F * static_cast<float>(count_extras(found, asked)));
  scores[kSoft] = credit / static_cast<float>(terms) * scores[kExtras];
  scores[kStrict] = scores[kSoft] == 1.0F ? 1.0F : 0.0F;
  scores[kCount] = std::max(0.0F, 1 - ratio(std::abs(found_number - asked_number), asked_number));
  scores[kColor] = ratio(colors, most);
  scores[kShape] = ratio(shapes, most);
  return scores;
}

}  // namespace scene
