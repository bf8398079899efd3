// The colours and shapes that objects can have, and how one is painted.
#pragma once

#include <array>
#include <string>

namespace thalweg::scenes {

inline constexpr int kColors = 6;
inline constexpr int kShapes = 3;

/// By the indices that objects have.
extern const std::array<std::string, kColors> color_names;
extern const std::array<std::string, kShapes> shape_names;

/// RGB in [0,1].
using Rgb = std::array<float, 3>;
extern const std::array<Rgb, kColors> color_values;

/// A colour of one object may differ from its pure value by so much in each channel.
inline constexpr float kColorShift = 0.03F;

/// Centre and radius in pixels of the picture, pixel centres at half integers. Circles have the radius,
/// squares the half side 0.9, triangles (apex up) the half base 1 and the height 1.8 radii, 0.9 above the
/// centre.
struct Spot {
  float x = 0;
  float y = 0;
  float radius = 0;
};

/// Paints a shape over size * size pixels of three planes (3HW, row-major), its rim as soft as one pixel.
/// Throws Error where `shape` is none.
void paint(int shape, const Spot& spot, const Rgb& rgb, float* rgb_3HW, int size);

}  // namespace thalweg::scenes
