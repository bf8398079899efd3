// From when frames are shown to a rate.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/video/worker/libav.h"

namespace thalweg::video {

struct Rate {
  AVRational value{0, 1};
  bool varies = false;
};

/// Of frames shown at `times`, in units of `unit` seconds. Where all intervals are alike, to the unit's
/// rounding, it is `stated` (the file's own word) if that says the same; where they are not, the mean.
Rate rate_of(const std::vector<int64_t>& times, AVRational unit, AVRational stated);

}  // namespace thalweg::video
