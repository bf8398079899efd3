// Which frames of a video a reward is handed, and how its values of them become one value of the video.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/core/fields.h"

namespace thalweg {

/// Small, so that each entry of a job carries one.
struct FrameChoice {
  enum class Frames : uint8_t {
    whole,  // the video as it is
    all,    // the others: pictures of one frame
    first,
    every  // 0, interval, 2 interval, ...
  };
  enum class Over : uint8_t { mean, minimum };

  Frames frames = Frames::whole;
  Over over_frames = Over::mean;  // by dimension
  uint16_t interval = 8;

  /// Whether the reward sees pictures of one frame.
  bool single() const { return frames != Frames::whole; }
  /// The frames of a video of `count` frames, ascending; at least one. Of a choice that is single().
  std::vector<int64_t> chosen(int64_t count) const;
};

/// The key "frames" and, beside it, "frame_interval" and "over_frames".
void describe(Fields& fields, FrameChoice& choice);

}  // namespace thalweg
