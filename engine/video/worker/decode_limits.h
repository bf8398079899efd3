// How much of a file is decoded.
#pragma once

#include <cstdint>

#include "engine/video/worker/libav.h"

namespace thalweg::video {

struct DecodeLimits {
  uint64_t pixels, frames, bytes, milliseconds;  // of a frame; of the video, as RGB, as it plays

  /// All throw Refused.
  void require_size(int width, int height) const;
  void require_frames(uint64_t frames, int width, int height) const;
  /// From `first` to `last`, in any order, in units of `unit` seconds.
  void require_duration(int64_t first, int64_t last, AVRational unit) const;
};

}  // namespace thalweg::video
