// Pictures of the scenes world: flat shapes on a near-white ground, with the caption they show.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipelines/scenes/caption.h"

namespace thalweg::scenes {

/// Side of the square canvas on which scenes are laid out, whatever size they are rendered at.
inline constexpr float kCanvas = 64.0F;

/// Position and radius in canvas pixels, x to the right, y downward, pixel centres at half integers.
/// The object lies inside the square of half side `radius` around (x, y).
struct SceneObject {
  int color = 0;  ///< index into `color_names`
  int shape = 0;  ///< index into `shape_names`
  float x = 0;
  float y = 0;
  float radius = 0;  ///< 6 to 10.5
};

struct Scene {
  std::string caption;
  std::vector<SceneObject> objects;  ///< 1 to 4 (hard: 3 to 5), with at least 4 pixels between any two
};

/// A caption in the split's shares and a layout that shows it: a pure function of (seed, index).
Scene random_scene(std::uint64_t seed, std::uint64_t index, Split split = Split::kWorld);

/// As `random_scene` of the world, but its caption is never a held-out one.
Scene training_scene(std::uint64_t seed, std::uint64_t index);

/// Writes size * size RGB pixels in [0,1] as three planes (3HW, row-major). The seed decides the grey of the
/// ground (0.94 to 1) and a small shift of each object's colour. Throws Error unless 8 <= size <= 4096.
void render(const Scene& scene, std::uint64_t noise_seed, float* rgb_3HW, int size);

}  // namespace thalweg::scenes
