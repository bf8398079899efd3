// Frames a second, as video files have it: a fraction.
#pragma once

#include <cstdint>

namespace thalweg {

struct FrameRate {
  int64_t numerator = 16, denominator = 1;  // 1 to 1000000 each

  double per_second() const { return static_cast<double>(numerator) / static_cast<double>(denominator); }
  bool operator==(const FrameRate&) const = default;
};

/// The fraction that is meant: 29.97 and 23.976 are 30000/1001 and 24000/1001, as broadcasters have them;
/// else the nearest 1/1000. `fps` lies in [0.1, 1000].
FrameRate frame_rate_of(double fps);

}  // namespace thalweg
