#include <algorithm>

#include "engine/core/error.h"
#include "pipelines/moving_scenes/scene.h"
#include "pipelines/scenes/random.h"

namespace thalweg::moving_scenes {

namespace {

using scenes::Rgb;

struct Paints {
  Rgb before, after;
};

Rgb shifted(int color, scenes::Random& random) {
  Rgb rgb = scenes::color_values.at(static_cast<std::size_t>(color));
  for (float& value : rgb) value += random.uniform(-scenes::kColorShift, scenes::kColorShift);
  return rgb;
}

}  // namespace

void render(const Scene& scene, std::uint64_t noise_seed, float* rgb_F3HW, int side, int frames) {
  if (side < 16 || side > 4096) {
    throw Error("pipelines/moving_scenes", "a video of side " + std::to_string(side) + "; use 16 to 4096");
  }
  if (!can_have_frames(frames)) {
    throw Error("pipelines/moving_scenes",
                "a video of " + std::to_string(frames) + " frames; use 4k + 1, from 5 to 1025");
  }
  scenes::Random random(noise_seed, 2);
  const float ground = random.uniform(0.94F, 1.0F);
  std::vector<Paints> paints;
  for (const MovingObject& object : scene.objects) {
    const Rgb before = shifted(object.actor.color, random);
    paints.push_back({before, shifted(object.actor.action.color, random)});
  }
  const float scale = static_cast<float>(side) / kCanvas;
  const std::size_t size = 3 * static_cast<std::size_t>(side) * static_cast<std::size_t>(side);
  for (int f = 0; f < frames; ++f) {
    float* frame = rgb_F3HW + static_cast<std::size_t>(f) * size;
    std::fill(frame, frame + size, ground);
    for (std::size_t i = 0; i < scene.objects.size(); ++i) {
      const State s = state_at(scene.objects[i], static_cast<float>(f) / static_cast<float>(frames - 1));
      if (!s.visible) continue;
      scenes::paint(scene.objects[i].actor.shape, {s.x * scale, s.y * scale, s.radius * scale},
                    s.turned ? paints[i].after : paints[i].before, frame, side);
    }
  }
}

}  // namespace thalweg::moving_scenes
