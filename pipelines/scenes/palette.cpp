#include "pipelines/scenes/palette.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

namespace thalweg::scenes {

const std::array<std::string, kColors> color_names = {"red", "green", "blue", "yellow", "purple", "cyan"};
const std::array<std::string, kShapes> shape_names = {"circle", "square", "triangle"};

// Any two lie at least 0.6 apart, so that each keeps a ball of radius 0.3 of its own.
const std::array<Rgb, kColors> color_values = {{{0.90F, 0.12F, 0.12F},
                                                {0.10F, 0.70F, 0.15F},
                                                {0.10F, 0.20F, 0.90F},
                                                {0.95F, 0.85F, 0.10F},
                                                {0.65F, 0.10F, 0.70F},
                                                {0.10F, 0.80F, 0.90F}}};

namespace {

constexpr float kSide = 0.9F;  // half side of squares, half height of triangles, in radii

// Signed distances in radii to a shape of radius 1 around the origin; negative inside. Outside of corners
// they are bounds, which keeps corners sharp.
float distance_to_circle(float x, float y) {
  return std::sqrt(x * x + y * y) - 1.0F;
}

float distance_to_square(float x, float y) {
  return std::max(std::abs(x), std::abs(y)) - kSide;
}

// Apex (0, -kSide), base from (-1, kSide) to (1, kSide).
float distance_to_triangle(float x, float y) {
  constexpr float height = 2 * kSide;
  const float slant = (height * std::abs(x) - (y + kSide)) / std::sqrt(1 + height * height);
  return std::max(slant, y - kSide);
}

// The shape is chosen once an object, so that the inner loop has no branch.
template <typename Distance>
void paint_by(Distance distance, const Spot& spot, const Rgb& rgb, float* rgb_3HW, int size) {
  const float radius = spot.radius;
  const auto first = [&](float center) { return std::max(0, static_cast<int>(center - radius) - 1); };
  const auto last = [&](float center) { return std::min(size, static_cast<int>(center + radius) + 2); };
  const std::size_t plane = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  for (int row = first(spot.y); row < last(spot.y); ++row) {
    float* line = rgb_3HW + static_cast<std::size_t>(row) * static_cast<std::size_t>(size);
    const float y = (static_cast<float>(row) + 0.5F - spot.y) / radius;
    for (int column = first(spot.x); column < last(spot.x); ++column) {
      const float x = (static_cast<float>(column) + 0.5F - spot.x) / radius;
      const float cover = std::clamp(0.5F - distance(x, y) * radius, 0.0F, 1.0F);
      for (std::size_t channel = 0; channel < 3; ++channel) {
        float& value = line[channel * plane + static_cast<std::size_t>(column)];
        value += cover * (rgb[channel] - value);
      }
    }
  }
}

}  // namespace

void paint(int shape, const Spot& spot, const Rgb& rgb, float* rgb_3HW, int size) {
  switch (shape) {
    case 0:
      return paint_by(distance_to_circle, spot, rgb, rgb_3HW, size);
    case 1:
      return paint_by(distance_to_square, spot, rgb, rgb_3HW, size);
    case 2:
      return paint_by(distance_to_triangle, spot, rgb, rgb_3HW, size);
    default:
      throw Error("pipelines/scenes", "no shape has the index " + std::to_string(shape));
  }
}

}  // namespace thalweg::scenes
