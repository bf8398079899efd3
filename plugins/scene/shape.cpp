// The shape of one piece: how much of its width x height it fills, then how far it is from the ideal shape.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "verifier.h"

namespace scene {

namespace {

// By shapes::Shape. Between the zones lie squircles, lenses and blobs: no shape, so that nothing is gained by
// drifting there.
struct Zone {
  float least_fill, most_fill, most_mismatch;
};
constexpr std::array<Zone, kShapes> zones = {
    {{0.70F, 0.84F, 0.08F}, {0.92F, 1.06F, 0.08F}, {0.42F, 0.68F, 0.15F}}};
constexpr float kMostAspect = 1.4F;

// Share of the area in which the piece and the ideal shape of the same area and proportions differ.
float mismatch(const shapes::Outline& outline, int shape) {
  const auto& [pieces, box, label, area, x, y, width, height] = outline;
  const float grow = std::sqrt(area / (width * height * shapes::ideal_fill[static_cast<std::size_t>(shape)]));
  float difference = 0;
  for (int row = box.top; row < box.bottom; ++row) {
    for (int column = box.left; column < box.right; ++column) {
      const float across = static_cast<float>(column) + 0.5F - x, down = static_cast<float>(row) + 0.5F - y;
      difference += std::abs(outline.cover(column, row) -
                             shapes::ideal_cover(shape, across, down, width * grow, height * grow));
    }
  }
  return difference / area;
}

}  // namespace

void judge_shape(const shapes::Outline& outline, Object& object) {
  object.x = outline.x;
  object.y = outline.y;
  object.fill = outline.area / (outline.width * outline.height);
  object.aspect = std::max(outline.width, outline.height) / std::min(outline.width, outline.height);
  for (int shape = 0; shape < kShapes; ++shape) {
    const Zone& zone = zones[static_cast<std::size_t>(shape)];
    if (object.fill < zone.least_fill || object.fill > zone.most_fill) continue;
    object.mismatch = mismatch(outline, shape);
    if (object.mismatch <= zone.most_mismatch && object.aspect <= kMostAspect) object.shape = shape;
  }
}

}  // namespace scene
