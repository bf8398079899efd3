#include <algorithm>

#include "engine/core/error.h"
#include "pipelines/scenes/random.h"
#include "pipelines/scenes/scene.h"

namespace thalweg::scenes {

void render(const Scene& scene, std::uint64_t noise_seed, float* rgb_3HW, int size) {
  if (size < 8 || size > 4096) {
    throw Error("pipelines/scenes", "a picture of side " + std::to_string(size) + "; use 8 to 4096");
  }
  Random random(noise_seed, 1);
  const std::size_t plane = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  std::fill(rgb_3HW, rgb_3HW + 3 * plane, random.uniform(0.94F, 1.0F));
  const float scale = static_cast<float>(size) / kCanvas;
  for (const SceneObject& object : scene.objects) {
    Rgb rgb = color_values.at(static_cast<std::size_t>(object.color));
    for (float& value : rgb) value += random.uniform(-kColorShift, kColorShift);
    const Spot spot{object.x * scale, object.y * scale, object.radius * scale};
    paint(object.shape, spot, rgb, rgb_3HW, size);
  }
}

}  // namespace thalweg::scenes
