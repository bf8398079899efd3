#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "pipelines/scenes/random.h"
#include "pipelines/scenes/scene.h"

namespace thalweg::scenes {

// Any two lie at least 0.6 apart, so that each keeps a ball of radius 0.3 of its own.
const std::array<std::array<float, 3>, kColors> color_values = {{{0.90F, 0.12F, 0.12F},
                                                                 {0.10F, 0.70F, 0.15F},
                                                                 {0.10F, 0.20F, 0.90F},
                                                                 {0.95F, 0.85F, 0.10F},
                                                                 {0.65F, 0.10F, 0.70F},
                                                                 {0.10F, 0.80F, 0.90F}}};

namespace {

constexpr float kSide = 0.9F;  // half side of squares, half height of triangles, in radii
constexpr float kColorShift = 0.03F;

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
void paint(const SceneObject& object, const std::array<float, 3>& rgb, Distance distance, float* rgb_3HW,
           int size) {
  const float scale = static_cast<float>(size) / kCanvas;
  const float radius = object.radius * scale, center_x = object.x * scale, center_y = object.y * scale;
  const auto first = [&](float center) { return std::max(0, static_cast<int>(center - radius) - 1); };
  const auto last = [&](float center) { return std::min(size, static_cast<int>(center + radius) + 2); };
  const std::size_t plane = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  for (int row = first(center_y); row < last(center_y); ++row) {
    float* line = rgb_3HW + static_cast<std::size_t>(row) * static_cast<std::size_t>(size);
    const float y = (static_cast<float>(row) + 0.5F - center_y) / radius;
    for (int column = first(center_x); column < last(center_x); ++column) {
      const float x = (static_cast<float>(column) + 0.5F - center_x) / radius;
      const float cover = std::clamp(0.5F - distance(x, y) * radius, 0.0F, 1.0F);
      for (std::size_t channel = 0; channel < 3; ++channel) {
        float& value = line[channel * plane + static_cast<std::size_t>(column)];
        value += cover * (rgb[channel] - value);
      }
    }
  }
}

}  // namespace

void render(const Scene& scene, std::uint64_t noise_seed, float* rgb_3HW, int size) {
  if (size < 8 || size > 4096) {
    throw Error("pipelines/scenes", "a picture of side " + std::to_string(size) + "; use 8 to 4096");
  }
  Random random(noise_seed, 1);
  const std::size_t plane = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  std::fill(rgb_3HW, rgb_3HW + 3 * plane, random.uniform(0.94F, 1.0F));
  for (const SceneObject& object : scene.objects) {
    std::array<float, 3> rgb = color_values.at(static_cast<std::size_t>(object.color));
    for (float& value : rgb) value += random.uniform(-kColorShift, kColorShift);
    switch (object.shape) {
      case 0:
        paint(object, rgb, distance_to_circle, rgb_3HW, size);
        break;
      case 1:
        paint(object, rgb, distance_to_square, rgb_3HW, size);
        break;
      case 2:
        paint(object, rgb, distance_to_triangle, rgb_3HW, size);
        break;
      default:
        throw Error("pipelines/scenes", "no shape has the index " + std::to_string(object.shape));
    }
  }
}

}  // namespace thalweg::scenes
