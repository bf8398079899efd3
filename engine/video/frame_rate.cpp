#include "engine/video/frame_rate.h"

#include <cmath>
#include <numeric>

namespace thalweg {

FrameRate frame_rate_of(double fps) {
  constexpr double kSlack = 5e-4;  // of 23.976 and 29.97, which are rounded
  if (const double whole = std::round(fps * 1.001);
      std::abs(fps - std::round(fps)) > kSlack && std::abs(fps - whole / 1.001) < kSlack)
    return {std::llround(whole) * 1000, 1001};
  const int64_t thousandths = std::llround(fps * 1000.0), common = std::gcd(thousandths, int64_t{1000});
  return {thousandths / common, 1000 / common};
}

}  // namespace thalweg
