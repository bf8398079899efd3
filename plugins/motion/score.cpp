#include "score.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "track.h"

namespace motion {

namespace {

constexpr float kBetweenDistance = 3;  // units from an object to what it may be half of

// The mean of what applies; NaN where nothing does.
class Mean {
 public:
  void add(float value) {
    sum_ += value;
    ++number_;
  }
  float value() const {
    return number_ == 0 ? std::numeric_limits<float>::quiet_NaN() : sum_ / static_cast<float>(number_);
  }

 private:
  float sum_ = 0;
  int number_ = 0;
};

// Whether `object` is one of the caption's that is half there in this frame.
bool half_there(const Object& object, const Actor& actor, const Track& track, const Marks& marks, int frame) {
  if (frame < marks.first_between || frame >= marks.last_between) return false;
  // Half of two colours may be a third one; half of one colour is none.
  if (actor.verb != Verb::kTurns && object.color != shapes::kNothing) return false;
  const int nearest = actor.verb == Verb::kAppears ? marks.last_between : marks.first_between - 1;
  if (nearest < 0 || nearest >= static_cast<int>(track.size())) return false;
  const Object* whole = track[static_cast<std::size_t>(nearest)].object;
  return whole != nullptr && std::hypot(object.x - whole->x, object.y - whole->y) <= kBetweenDistance;
}

class Cast {
 public:
  Cast(const std::vector<std::vector<Object>>& objects_F, const Caption& caption)
      : objects_F_(objects_F), caption_(caption) {
    for (const Actor& actor : caption.actors) {
      tracks_.push_back(follow(actor, objects_F));
      marks_.push_back(mark(actor, tracks_.back()));
    }
  }

  const std::vector<Marks>& marks() const { return marks_; }

  // Objects of the frame that are no actor, nor half of one.
  int extras(std::size_t frame) const {
    int number = 0;
    for (const Object& object : objects_F_[frame]) number += played(object, frame) ? 0 : 1;
    return number;
  }

  // Every actor that is always there, and any number of those that come or go. Between its colours one may be
  // too pale to be seen.
  bool right_number(std::size_t frame) const {
    const std::size_t number = objects_F_[frame].size();
    std::size_t least = 0;
    for (std::size_t a = 0; a < caption_.actors.size(); ++a) {
      const Actor& actor = caption_.actors[a];
      const bool between = actor.verb == Verb::kTurns && static_cast<int>(frame) >= marks_[a].first_between &&
                           static_cast<int>(frame) < marks_[a].last_between;
      least += actor.pops() || between ? 0 : 1;
    }
    return number >= least && number <= caption_.actors.size();
  }

 private:
  bool played(const Object& object, std::size_t frame) const {
    for (std::size_t a = 0; a < tracks_.size(); ++a) {
      if (tracks_[a][frame].object == &object) return true;
      if (half_there(object, caption_.actors[a], tracks_[a], marks_[a], static_cast<int>(frame))) return true;
    }
    return false;
  }

  const std::vector<std::vector<Object>>& objects_F_;
  const Caption& caption_;
  std::vector<Track> tracks_;
  std::vector<Marks> marks_;
};

}  // namespace

Scores score_frames(const std::vector<std::vector<Object>>& objects_F, const Caption& caption) {
  const Cast cast(objects_F, caption);
  const auto frames = static_cast<float>(objects_F.size());
  int extras = 0, right_numbers = 0;
  for (std::size_t f = 0; f < objects_F.size(); ++f) {
    extras += cast.extras(f);
    right_numbers += cast.right_number(f) ? 1 : 0;
  }
  Mean direction, event, color, shape, steady, credit;
  for (std::size_t a = 0; a < caption.actors.size(); ++a) {
    const Marks& marks = cast.marks()[a];
    const Verb verb = caption.actors[a].verb;
    if (verb != Verb::kStays) (verb == Verb::kMoves ? direction : event).add(marks.action);
    color.add(marks.color);
    shape.add(marks.shape);
    steady.add(marks.steady);
    credit.add((marks.color + marks.shape + 2 * marks.action + marks.steady) / 5);
  }
  Scores scores{};
  scores[kDirection] = direction.value();
  scores[kEvent] = event.value();
  scores[kColor] = color.value();
  scores[kShape] = shape.value();
  scores[kSteady] = steady.value();
  scores[kCount] = static_cast<float>(right_numbers) / frames;
  scores[kExtras] = 1 / (1 + 0.5F * static_cast<float>(extras) / frames);
  scores[kSoft] = credit.value() * (scores[kCount] + scores[kExtras]) / 2;
  scores[kStrict] = scores[kSoft] == 1.0F ? 1.0F : 0.0F;
  return scores;
}

}  // namespace motion
