// A file from outside to frames: MP4, MOV, WebM, MKV, GIF.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "engine/video/worker/decode_limits.h"

namespace thalweg::video {

/// What becomes of the frames.
struct FrameSink {
  std::function<void(uint32_t width, uint32_t height)> size;
  std::function<void(const std::string& rgb)> frame;
};

struct Decoded {
  uint64_t frames = 0;
  uint32_t rate_numerator = 0, rate_denominator = 1;
  std::string notes;  // what of the file frames and a rate do not say, one a line
};

/// The first video stream of the file at `media`, upright, in the order of play. The format is told by the
/// first bytes, and libav is held to it. Throws Refused.
Decoded decode(int media, const DecodeLimits& limits, const FrameSink& sink);

}  // namespace thalweg::video
