// The cover of one piece with its soft rim, its measures, and the ideal shapes to hold against it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "pieces.h"

namespace shapes {

enum Shape : int { kCircle, kSquare, kTriangle };

/// Share of its width x height that an ideal shape fills, by Shape.
inline constexpr std::array<float, kShapes> ideal_fill = {0.7854F, 1.0F, 0.5F};

/// Cover of a pixel whose centre lies `distance` pixels outside of a straight edge.
inline float soft_step(float distance) {
  return std::clamp(0.5F - distance, 0.0F, 1.0F);
}

/// Cover of the pixel at (x, y) from the centroid of the ideal shape with this width and height, in pixels. A
/// triangle has its apex at the top.
inline float ideal_cover(int shape, float x, float y, float width, float height) {
  if (shape == kSquare) return soft_step(std::abs(x) - width / 2) * soft_step(std::abs(y) - height / 2);
  if (shape == kCircle) {
    const float across = 2 * x / width, down = 2 * y / height;
    return soft_step((std::sqrt(across * across + down * down) - 1) * std::min(width, height) / 2);
  }
  // Two thirds of the height lie above the centroid.
  const float below_apex = y + height * 2 / 3;
  const float slant = (std::abs(x) * height - below_apex * width / 2) / std::hypot(height, width / 2);
  return soft_step(slant) * soft_step(y - height / 3);
}

/// Of a piece of the picture that `pieces` found last.
struct Outline {
  Outline(const Pieces& of, const Piece& piece);

  float cover(int column, int row) const { return pieces.cover(label, column, row); }

  const Pieces& pieces;
  Box box;  ///< with the rim
  int label;
  float area = 0, x = 0, y = 0;  ///< in pixels; the centroid
  float width = 0, height = 0;   ///< of the fullest row and column, which do not jump by whole pixels
};

}  // namespace shapes
