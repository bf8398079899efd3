// Videos of the world of moving scenes: flat shapes that do something, with the caption that says what.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pipelines/moving_scenes/caption.h"

namespace thalweg::moving_scenes {

/// Side of the square canvas on which scenes are laid out, whatever size they are rendered at.
inline constexpr float kCanvas = 32.0F;

inline constexpr int kDefaultSide = 32;
inline constexpr int kDefaultFrames = 9;

/// Whether a video can have so many frames: 4k + 1, from 5 (fewer show no order of events) to 1025.
constexpr bool can_have_frames(int frames) {
  return frames >= 5 && frames <= 1025 && frames % 4 == 1;
}

/// An object at a time in [0,1] of its video; positions and radius in canvas pixels, x to the right, y
/// downward.
struct State {
  float x = 0;
  float y = 0;
  float radius = 0;
  bool visible = true;
  bool turned = false;  ///< has the new colour of its action
};

/// Where an object is, and what it does. It lies inside the square of half side radius around (x, y).
struct MovingObject {
  Actor actor;
  float x = 0;  ///< at the start
  float y = 0;
  float radius = 0;         ///< at the start
  float reach = 0;          ///< how far it goes, at constant speed; of two legs: each
  float growth = 1;         ///< radius at the end / radius at the start
  float event_time = 0.5F;  ///< in [0,1]: when it appears, vanishes, turns; legs change at 0.5
};

State state_at(const MovingObject& object, float time);

struct Scene {
  std::string caption;
  std::vector<MovingObject> objects;  ///< one or two, with at least 3 pixels between them, but for crowds
};

/// A caption in the world's shares and a layout that shows it: a pure function of (seed, index).
Scene random_scene(std::uint64_t seed, std::uint64_t index);

/// As `random_scene`, but its caption is never a held-out one; of kinds in the world's shares, or in others,
/// which are percentages too.
Scene training_scene(std::uint64_t seed, std::uint64_t index, std::span<const KindShare> of_kinds = shares);

/// A layout that shows `caption`: a pure function of its arguments.
Scene scene_of(const Caption& caption, std::uint64_t seed, std::uint64_t index);

/// Five objects that do anything anywhere, in each other's way and across the edge, under no caption: what an
/// autoencoder learns most from. A pure function of (seed, index).
Scene crowded_scene(std::uint64_t seed, std::uint64_t index);

/// Writes frames * 3 * side * side values in [0,1] (F3HW, row-major). Frame f shows the time f / (frames -
/// 1). The seed decides the grey of the ground (0.94 to 1) and a small shift of each object's colour, the
/// same in all frames. Throws Error unless 16 <= side <= 4096 and can_have_frames(frames).
void render(const Scene& scene, std::uint64_t noise_seed, float* rgb_F3HW, int side = kDefaultSide,
            int frames = kDefaultFrames);

}  // namespace thalweg::moving_scenes
