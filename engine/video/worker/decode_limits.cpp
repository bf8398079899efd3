#include "engine/video/worker/decode_limits.h"

#include <cstdlib>
#include <string>

namespace thalweg::video {

void DecodeLimits::require_size(int width, int height) const {
  if (width < 1 || height < 1) throw Refused("does not say how large its frames are");
  const auto w = static_cast<uint64_t>(width), h = static_cast<uint64_t>(height);
  if (w * h > pixels)
    throw Refused("has frames of " + std::to_string(w) + " x " + std::to_string(h) + " pixels; at most " +
                  std::to_string(pixels) + " pixels are read");
}

void DecodeLimits::require_frames(uint64_t count, int width, int height) const {
  if (count > frames)
    throw Refused("has " + std::to_string(count) + " frames or more; at most " + std::to_string(frames) +
                  " are read");
  const auto each = 3 * static_cast<uint64_t>(width) * static_cast<uint64_t>(height);
  if (count > bytes / each)
    throw Refused("is larger than " + std::to_string(bytes >> 20) + " MiB once it is decoded");
}

void DecodeLimits::require_duration(int64_t first, int64_t last, AVRational unit) const {
  int64_t time = 0;
  const bool overflows = __builtin_sub_overflow(last, first, &time) || time == INT64_MIN;
  if (overflows || av_rescale_q(std::abs(time), unit, {1, 1000}) > static_cast<int64_t>(milliseconds))
    throw Refused("plays for longer than " + std::to_string(milliseconds / 1000) + " s");
}

}  // namespace thalweg::video
