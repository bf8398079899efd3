// Which way up a picture is shown.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace thalweg::video {

/// Where pixel (x, y) is shown: (xx x + xy y, yx x + yy y), moved to begin at 0. Each is -1, 0 or 1.
struct Turn {
  int xx = 1, xy = 0, yx = 0, yy = 1;

  bool is_none() const { return xx == 1 && yy == 1; }
  bool on_its_side() const { return xx == 0; }
};

/// Of a display matrix as MP4 and MOV have it, nine numbers. Throws Refused for an angle that is no multiple
/// of 90 degrees, and for one that scales.
Turn turn_of(const int32_t* matrix);

/// `rgb` of width x height, rows without gaps, as it is shown.
std::string turned(const std::string& rgb, int width, int height, const Turn& turn);

}  // namespace thalweg::video
