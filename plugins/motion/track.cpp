#include "track.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace motion {

namespace {

// Lengths in units: 32 to the shorter side.
constexpr float kLeastReach = 6;      // of a move along its direction
constexpr float kLeastLegReach = 4;   // of each of two
constexpr float kMostAcross = 1;      // off the line, and this much more
constexpr float kAcrossShare = 0.3F;  // of the way along it
constexpr float kMostBack = 0.75F;    // between two frames
constexpr float kLeastGrowth = 1.8F;  // ratio of areas
constexpr float kMostShrinkOnce =
    0.88F;                       // of the area between two frames of what grows; the inverse for shrinking
constexpr float kMostDrift = 2;  // of what does not move
constexpr float kMostResize = 1.4F;  // ratio of areas, of what does not change its size
constexpr float kMostJump = 1.5F;    // between two frames, and this much more
constexpr float kJumpShare = 2.5F;   // of the mean way between two frames
constexpr int kMostBetween = 2;      // frames within a turn

using Points = std::vector<const Object*>;

float ratio(std::size_t part, std::size_t whole) {
  return whole == 0 ? 0.0F : static_cast<float>(part) / static_cast<float>(whole);
}

float capped_ratio(float part, float whole) {
  return part >= whole ? 1.0F : std::max(part, 0.0F) / whole;
}

// Frames that a state before or after an event must last: two of nine.
std::size_t least_lasting(std::size_t frames) {
  return std::max<std::size_t>(1, (frames - 1) / 4);
}

Points seen(const Track& track) {
  Points points;
  for (const Sighting& sighting : track) {
    if (sighting.object != nullptr) points.push_back(sighting.object);
  }
  return points;
}

// The frame next to an appearance or a vanishing may be so nearly half there that the colour is seen and the
// shape is not.
Points without_pale(const Actor& actor, Points points) {
  if (!actor.pops() || points.size() < 2) return points;
  points.erase(actor.verb == Verb::kAppears ? points.begin() : points.end() - 1);
  return points;
}

// At least seven of nine.
float mark_shape(const Points& points, int shape) {
  std::size_t right = 0;
  for (const Object* object : points) right += object->shape == shape ? 1 : 0;
  if (points.empty()) return 0;
  return 9 * right >= 7 * points.size() ? 1.0F : 9 * ratio(right, 7 * points.size());
}

// One straight leg, over points[first] to points[last].
float mark_leg(const Points& points, std::size_t first, std::size_t last, Direction direction, float least) {
  const bool sideways = direction == Direction::kLeft || direction == Direction::kRight;
  const float sign = direction == Direction::kLeft || direction == Direction::kUp ? -1.0F : 1.0F;
  const auto along = [&](std::size_t i) { return sign * (sideways ? points[i]->x : points[i]->y); };
  const auto across = [&](std::size_t i) { return sideways ? points[i]->y : points[i]->x; };
  const float reach = along(last) - along(first);
  if (reach <= 0) return 0;
  float off = 0;
  std::size_t forward = 0;
  for (std::size_t i = first + 1; i <= last; ++i) {
    off = std::max(off, std::abs(across(i) - across(first)));
    forward += along(i) - along(i - 1) >= -kMostBack ? 1 : 0;
  }
  const float most_off = kMostAcross + kAcrossShare * reach;
  const float straight = off <= most_off ? 1.0F : most_off / off;
  return capped_ratio(reach, least) * straight * ratio(forward, last - first);
}

// Of two legs, the corner lies where both do best.
float mark_path(const Points& points, const std::vector<Direction>& legs) {
  if (points.size() < 2) return 0;
  const std::size_t last = points.size() - 1;
  if (legs.size() == 1) return mark_leg(points, 0, last, legs[0], kLeastReach);
  float best = 0;
  for (std::size_t corner = 1; corner < last; ++corner) {
    best = std::max(best, (mark_leg(points, 0, corner, legs[0], kLeastLegReach) +
                           mark_leg(points, corner, last, legs[1], kLeastLegReach)) /
                              2);
  }
  return best;
}

float mark_growth(const Points& points, bool grows) {
  if (points.size() < 4) return 0;
  const auto area = [&](std::size_t i) {
    return grows ? points[i]->area : points[points.size() - 1 - i]->area;
  };
  const std::size_t n = points.size();
  const float growth = (area(n - 1) + area(n - 2)) / (area(0) + area(1));
  std::size_t steady = 0;
  for (std::size_t i = 1; i < n; ++i) steady += area(i) >= kMostShrinkOnce * area(i - 1) ? 1 : 0;
  if (growth <= 1) return 0;
  return capped_ratio(std::log(growth), std::log(kLeastGrowth)) * ratio(steady, n - 1);
}

enum class Seen { kNot, kBefore, kAfter };

// How well the frames fall into a run of `before`, at most `most_between` of kNot, and a run of `after`.
// Writes where the frames between lie.
float mark_order(const std::vector<Seen>& frames, Seen before, Seen after, std::size_t most_between,
                 Marks& marks) {
  const std::size_t n = frames.size(), lasting = least_lasting(n);
  std::size_t begins = 0, ends = 0, best = 0;
  for (std::size_t i = 0; i < lasting; ++i) {
    begins += frames[i] == before ? 1 : 0;
    ends += frames[n - 1 - i] == after ? 1 : 0;
  }
  for (std::size_t first = lasting; first + lasting <= n; ++first) {
    for (std::size_t last = first; last <= std::min(first + most_between, n - lasting); ++last) {
      std::size_t right = 0;
      for (std::size_t i = 0; i < n; ++i) {
        right += frames[i] == (i < first ? before : i < last ? Seen::kNot : after) ? 1 : 0;
      }
      if (right <= best) continue;
      best = right;
      marks.first_between = static_cast<int>(first);
      marks.last_between = static_cast<int>(last);
    }
  }
  return ratio(begins, lasting) * ratio(ends, lasting) * ratio(best, n);
}

float mark_event(const Actor& actor, const Track& track, Marks& marks) {
  std::vector<Seen> frames;
  for (const Sighting& sighting : track) {
    frames.push_back(sighting.object == nullptr ? Seen::kNot
                     : sighting.turned          ? Seen::kAfter
                                                : Seen::kBefore);
  }
  if (actor.verb == Verb::kTurns) {
    return mark_order(frames, Seen::kBefore, Seen::kAfter, kMostBetween, marks);
  }
  const bool appears = actor.verb == Verb::kAppears;
  const float value = mark_order(frames, appears ? Seen::kNot : Seen::kBefore,
                                 appears ? Seen::kBefore : Seen::kNot, 0, marks);
  // The frame without the object next to the event.
  (appears ? marks.first_between : marks.last_between) += appears ? -1 : 1;
  return value;
}

float median_area(const Points& points) {
  std::vector<float> areas;
  for (const Object* object : points) areas.push_back(object->area);
  std::nth_element(areas.begin(), areas.begin() + static_cast<std::ptrdiff_t>(areas.size() / 2), areas.end());
  return areas[areas.size() / 2];
}

float mark_steady(const Actor& actor, const Points& points) {
  if (points.empty()) return 0;
  const auto distance = [](const Object* a, const Object* b) { return std::hypot(a->x - b->x, a->y - b->y); };
  float way = 0, x = 0, y = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (i > 0) way += distance(points[i], points[i - 1]);
    x += points[i]->x / static_cast<float>(points.size());
    y += points[i]->y / static_cast<float>(points.size());
  }
  const float usual = median_area(points),
              steps = static_cast<float>(std::max<std::size_t>(points.size() - 1, 1));
  const float jump = kMostJump + (actor.verb == Verb::kMoves ? kJumpShare * way / steps : 0.0F);
  std::size_t right = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const float resize = std::max(points[i]->area, usual) / std::min(points[i]->area, usual);
    const bool still =
        actor.verb == Verb::kMoves || std::hypot(points[i]->x - x, points[i]->y - y) <= kMostDrift;
    const bool smooth = i == 0 || distance(points[i], points[i - 1]) <= jump;
    right += still && smooth && (actor.resizes() || resize <= kMostResize) ? 1 : 0;
  }
  return ratio(right, points.size());
}

}  // namespace

Track follow(const Actor& actor, const std::vector<std::vector<Object>>& objects_F) {
  Track track(objects_F.size());
  for (std::size_t f = 0; f < objects_F.size(); ++f) {
    for (const Object& object : objects_F[f]) {
      const bool turned = actor.verb == Verb::kTurns && object.color == actor.new_color;
      if (!turned && object.color != actor.color) continue;
      if (track[f].object == nullptr || object.area > track[f].object->area) track[f] = {&object, turned};
    }
  }
  return track;
}

Marks mark(const Actor& actor, const Track& track) {
  Marks marks;
  const Points points = seen(track);
  std::size_t needed = track.size();
  if (actor.pops()) needed = least_lasting(track.size());
  if (actor.verb == Verb::kTurns) needed -= kMostBetween;
  marks.color = points.size() >= needed ? 1.0F : ratio(points.size(), needed);
  const Points whole = without_pale(actor, points);
  marks.shape = mark_shape(whole, actor.shape);
  marks.steady = mark_steady(actor, whole);
  if (actor.verb == Verb::kMoves) {
    marks.action = mark_path(points, actor.legs);
  } else if (actor.resizes()) {
    marks.action = mark_growth(points, actor.verb == Verb::kGrows);
  } else if (actor.verb == Verb::kStays) {
    marks.action = marks.steady;
  } else {
    marks.action = mark_event(actor, track, marks);
  }
  return marks;
}

}  // namespace motion
