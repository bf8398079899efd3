// A picture for tests, and shapes that the world does not draw.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "pipelines/scenes/scene.h"
#include "plugins/scene/score.h"

namespace thalweg::scenes {

struct Canvas {
  int size = 64;
  std::vector<float> rgb_3HW;

  explicit Canvas(int side = 64, float grey = 0.97F)
      : size(side), rgb_3HW(3 * static_cast<std::size_t>(side) * static_cast<std::size_t>(side), grey) {}

  static Canvas of(const Scene& scene, std::uint64_t noise_seed = 0, int side = 64) {
    Canvas canvas(side);
    render(scene, noise_seed, canvas.rgb_3HW.data(), side);
    return canvas;
  }

  /// Fills where `inside(x, y)` holds, in pixels, with 8 x 8 points a pixel.
  void fill(const Rgb& color, const std::function<bool(float, float)>& inside) {
    const auto side = static_cast<std::size_t>(size);
    for (std::size_t at = 0; at < side * side; ++at) {
      int hits = 0;
      for (int i = 0; i < 64; ++i) {
        const float x = static_cast<float>(at % side) + (static_cast<float>(i % 8) + 0.5F) / 8;
        const float y = static_cast<float>(at / side) + (static_cast<float>(i / 8) + 0.5F) / 8;
        hits += inside(x, y) ? 1 : 0;
      }
      const float cover = static_cast<float>(hits) / 64;
      for (std::size_t channel = 0; channel < 3; ++channel) {
        float& value = rgb_3HW[channel * side * side + at];
        value += cover * (color[channel] - value);
      }
    }
  }

  /// |x|^power + |y|^power <= radius^power: 2 is a circle, infinity a square, 1 a diamond.
  void superellipse(const Rgb& color, float x, float y, float radius, float power) {
    fill(color, [=](float u, float v) {
      return std::pow(std::abs(u - x) / radius, power) + std::pow(std::abs(v - y) / radius, power) <= 1;
    });
  }

  std::vector<scene::Object> objects() const {
    scene::ObjectFinder finder;
    return finder.find(rgb_3HW.data(), size, size);
  }

  scene::Scores score(const std::string& prompt) const {
    return scene::score_objects(objects(), scene::parse_caption(prompt));
  }
};

/// The first scene of `seed` that has this caption of the world.
inline Scene scene_with(const std::string& caption, std::uint64_t seed) {
  for (std::uint64_t index = 0; index < 100000; ++index)
    if (auto scene = random_scene(seed, index); scene.caption == caption) return scene;
  throw std::invalid_argument("no scene is captioned " + caption);
}

/// A scene of given objects, whatever its caption.
inline Scene scene_of(std::vector<SceneObject> objects) {
  return {"", std::move(objects)};
}

}  // namespace thalweg::scenes
