#include "engine/video/worker/upright.h"

#include <cstdlib>

#include "engine/video/worker/libav.h"

namespace thalweg::video {
namespace {

constexpr int32_t kOne = 1 << 16;  // 16.16 fixed point

}  // namespace

Turn turn_of(const int32_t* matrix) {
  const auto term = [&](int i) {
    const int32_t value = matrix[i];
    if (value != 0 && value != kOne && value != -kOne)
      throw Refused(
          "is to be shown turned by an angle that is no multiple of 90 degrees, or scaled; encode "
          "it upright");
    return value / kOne;
  };
  const Turn turn{term(0), term(3), term(1), term(4)};
  const bool straight = turn.xx != 0 && turn.yy != 0 && turn.xy == 0 && turn.yx == 0;
  const bool side = turn.xx == 0 && turn.yy == 0 && turn.xy != 0 && turn.yx != 0;
  if (!straight && !side) throw Refused("its display matrix shows nothing");
  return turn;
}

std::string turned(const std::string& rgb, int width, int height, const Turn& turn) {
  std::string out(rgb.size(), '\0');
  const auto shown_width = static_cast<size_t>(turn.on_its_side() ? height : width);
  const int left = (turn.xx < 0 ? width - 1 : 0) + (turn.xy < 0 ? height - 1 : 0);
  const int top = (turn.yx < 0 ? width - 1 : 0) + (turn.yy < 0 ? height - 1 : 0);
  size_t from = 0;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const auto to_x = static_cast<size_t>(turn.xx * x + turn.xy * y + left);
      const auto to_y = static_cast<size_t>(turn.yx * x + turn.yy * y + top);
      const auto to = 3 * (to_y * shown_width + to_x);
      for (size_t c = 0; c < 3; ++c) out[to + c] = rgb[from++];
    }
  return out;
}

}  // namespace thalweg::video
