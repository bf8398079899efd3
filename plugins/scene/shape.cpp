// The shape of one piece: how much of its width x height it fills, then how far it is from the ideal shape.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "verifier.h"

namespace scene {

namespace {

enum Shape : int { kCircle, kSquare, kTriangle };

// Between the zones lie squircles, lenses and blobs: no shape, so that nothing is gained by drifting there.
struct Zone {
  float least_fill, most_fill, ideal_fill, most_mismatch;
};
constexpr std::array<Zone, kShapes> zones = {
    {{0.70F, 0.84F, 0.7854F, 0.08F}, {0.92F, 1.06F, 1.0F, 0.08F}, {0.42F, 0.68F, 0.5F, 0.15F}}};
constexpr float kMostAspect = 1.4F;

// Cover of a pixel whose centre lies `distance` pixels outside of a straight edge.
float soft_step(float distance) {
  return std::clamp(0.5F - distance, 0.0F, 1.0F);
}

// Cover of the pixel at (x, y) from the centroid of the ideal shape with this width and height.
float ideal_cover(int shape, float x, float y, float width, float height) {
  if (shape == kSquare) return soft_step(std::abs(x) - width / 2) * soft_step(std::abs(y) - height / 2);
  if (shape == kCircle) {
    const float across = 2 * x / width, down = 2 * y / height;
    return soft_step((std::sqrt(across * across + down * down) - 1) * std::min(width, height) / 2);
  }
  // Apex at the top, two thirds of the height above the centroid.
  const float below_apex = y + height * 2 / 3;
  const float slant = (std::abs(x) * height - below_apex * width / 2) / std::hypot(height, width / 2);
  return soft_step(slant) * soft_step(y - height / 3);
}

}  // namespace

/// The cover of one piece with its soft rim, and its measures in pixels.
struct ObjectFinder::Outline {
  const ObjectFinder& finder;
  Box box;
  int label;
  float area = 0, x = 0, y = 0, width = 0, height = 0;

  // The rim is ground by its label, and touches the piece along an edge or a corner.
  float cover(int column, int row) const {
    const auto line = static_cast<std::size_t>(finder.width_);
    const std::size_t at = static_cast<std::size_t>(row) * line + static_cast<std::size_t>(column);
    if (finder.labels_[at] == label) return finder.cover_[at];
    if (finder.labels_[at] != 0 || finder.cover_[at] > 0.5F || finder.cover_[at] == 0.0F) return 0;
    for (int v = std::max(row - 1, 0); v <= std::min(row + 1, finder.height_ - 1); ++v) {
      for (int u = std::max(column - 1, 0); u <= std::min(column + 1, finder.width_ - 1); ++u) {
        if (finder.labels_[static_cast<std::size_t>(v) * line + static_cast<std::size_t>(u)] == label) {
          return finder.cover_[at];
        }
      }
    }
    return 0;
  }

  // Width and height are those of the fullest row and column, which do not jump by whole pixels.
  void measure(std::vector<float>& columns) {
    columns.assign(static_cast<std::size_t>(box.right - box.left), 0.0F);
    for (int row = box.top; row < box.bottom; ++row) {
      float sum = 0;
      for (int column = box.left; column < box.right; ++column) {
        const float value = cover(column, row);
        sum += value;
        columns[static_cast<std::size_t>(column - box.left)] += value;
        x += value * (static_cast<float>(column) + 0.5F);
      }
      y += sum * (static_cast<float>(row) + 0.5F);
      area += sum;
      width = std::max(width, sum);
    }
    height = *std::max_element(columns.begin(), columns.end());
    x /= area;
    y /= area;
  }

  // Share of the area in which the piece and the ideal shape of the same area and proportions differ.
  float mismatch(int shape) const {
    const float grow = std::sqrt(area / (width * height * zones[static_cast<std::size_t>(shape)].ideal_fill));
    float difference = 0;
    for (int row = box.top; row < box.bottom; ++row) {
      for (int column = box.left; column < box.right; ++column) {
        const float across = static_cast<float>(column) + 0.5F - x, down = static_cast<float>(row) + 0.5F - y;
        difference +=
            std::abs(cover(column, row) - ideal_cover(shape, across, down, width * grow, height * grow));
      }
    }
    return difference / area;
  }
};

void ObjectFinder::judge_shape(const Box& box, int label, Object& object) {
  Outline outline{*this, box, label};
  outline.measure(columns_);
  object.x = outline.x / static_cast<float>(width_);
  object.y = outline.y / static_cast<float>(height_);
  object.fill = outline.area / (outline.width * outline.height);
  object.aspect = std::max(outline.width, outline.height) / std::min(outline.width, outline.height);
  for (int shape = 0; shape < kShapes; ++shape) {
    const Zone& zone = zones[static_cast<std::size_t>(shape)];
    if (object.fill < zone.least_fill || object.fill > zone.most_fill) continue;
    object.mismatch = outline.mismatch(shape);
    if (object.mismatch <= zone.most_mismatch && object.aspect <= kMostAspect) object.shape = shape;
  }
}

}  // namespace scene
