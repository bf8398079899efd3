// What became of one object of the caption over the frames of a video.
#pragma once

#include <vector>

#include "caption.h"
#include "objects.h"

namespace motion {

struct Sighting {
  const Object* object = nullptr;  ///< nullptr: not seen in this frame
  bool turned = false;             ///< seen in its new colour
};

/// The largest object of its colour in every frame, and of its new colour for one that turns.
using Track = std::vector<Sighting>;
Track follow(const Actor& actor, const std::vector<std::vector<Object>>& objects_F);

/// Each in [0,1]; 1 = passed.
struct Marks {
  float color = 0;
  float shape = 0;
  float action = 0;
  float steady = 0;
  /// Frames [first, last) in which the object may be half there, or between two colours: one around an
  /// appearance or a vanishing, two within a turn. Codecs that compress time cannot do better.
  int first_between = 0;
  int last_between = 0;
};
Marks mark(const Actor& actor, const Track& track);

}  // namespace motion
