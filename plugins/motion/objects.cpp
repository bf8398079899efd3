#include "objects.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace motion {

namespace {

constexpr int kUnits = 32;             // to the shorter side
constexpr float kLeastArea = 6;        // in square units
constexpr float kLeastOwnShare = 0.5;  // of the inside of a piece, by its colour: small objects are mostly rim

// The nearest shape must be near and clearly nearer than the next: a squircle lies as far from a circle as from
// a square, and is neither. A codec softens rims and rounds corners, so the ideal shapes are softened too, as far
// as fits best.
constexpr float kMostError = 0.25F;
constexpr float kLeastMargin = 0.05F;
constexpr int kSoftenings = 3;  // sharp, and softened once and twice
constexpr int kMargin = 2;      // pixels around a piece, for softened ideal shapes

// By the binomial kernel 1 2 1, both ways; what lies outside is ground.
void soften(std::vector<float>& cover, std::vector<float>& buffer, std::size_t width) {
  buffer.assign(cover.size(), 0.0F);
  const std::size_t last = cover.size() - 1;
  for (std::size_t i = 0; i <= last; ++i) {
    buffer[i] = 0.25F * ((i > 0 ? cover[i - 1] : 0.0F) + (i < last ? cover[i + 1] : 0.0F)) + 0.5F * cover[i];
  }
  for (std::size_t i = 0; i <= last; ++i) {
    cover[i] = 0.25F * ((i >= width ? buffer[i - width] : 0.0F) +
                        (i + width <= last ? buffer[i + width] : 0.0F)) +
               0.5F * buffer[i];
  }
}

struct Sides {
  float width, height;
};

// Of the ideal shape with this area.
Sides sides_of(int shape, float area) {
  const float square = std::sqrt(area / shapes::ideal_fill[static_cast<std::size_t>(shape)]);
  // The world's triangles are a tenth less high than wide.
  const float stretch = shape == shapes::kTriangle ? std::sqrt(0.9F) : 1.0F;
  return {square / stretch, square * stretch};
}

}  // namespace

// Means of factor x factor pixels, fewer at the right and lower edge.
const float* ObjectFinder::reduce(const float* rgb_3HW, int factor, int& height, int& width) {
  if (factor == 1) return rgb_3HW;
  const int rows = (height + factor - 1) / factor, columns = (width + factor - 1) / factor;
  reduced_.assign(3 * static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns), 0.0F);
  float* out = reduced_.data();
  for (int channel = 0; channel < 3; ++channel) {
    for (int row = 0; row < height; ++row) {
      float* line = out + static_cast<std::size_t>(row / factor) * static_cast<std::size_t>(columns);
      for (int column = 0; column < width; ++column) line[column / factor] += *rgb_3HW++;
    }
    for (int row = 0; row < rows; ++row) {
      const int high = std::min(factor, height - row * factor);
      for (int column = 0; column < columns; ++column) {
        *out++ /= static_cast<float>(high * std::min(factor, width - column * factor));
      }
    }
  }
  height = rows;
  width = columns;
  return reduced_.data();
}

std::vector<Object> ObjectFinder::find(const float* rgb_3HW, std::int64_t height, std::int64_t width) {
  const float side = static_cast<float>(std::min(height, width));
  const auto factor = static_cast<int>(std::min(height, width) / kUnits);
  int rows = static_cast<int>(height), columns = static_cast<int>(width);
  const float* frame = reduce(rgb_3HW, factor, rows, columns);
  const float unit = side / static_cast<float>(factor * kUnits);  // in pixels: 1 to 2
  std::vector<Object> objects;
  for (const shapes::Piece& piece :
       pieces_.find(frame, rows, columns, static_cast<int>(std::ceil(kLeastArea * unit * unit)))) {
    const shapes::Outline outline(pieces_, piece);
    Object object;
    object.color = pieces_.color(piece, kLeastOwnShare);
    object.x = outline.x / unit;
    object.y = outline.y / unit;
    object.area = outline.area / (unit * unit);
    judge_shape(outline, object);
    objects.push_back(object);
  }
  return objects;
}

void ObjectFinder::draw_ideal(int shape, const shapes::Outline& outline) {
  const auto& box = outline.box;
  const Sides sides = sides_of(shape, outline.area);
  std::size_t at = 0;
  for (int row = box.top - kMargin; row < box.bottom + kMargin; ++row) {
    for (int column = box.left - kMargin; column < box.right + kMargin; ++column) {
      const float x = static_cast<float>(column) + 0.5F - outline.x, y = static_cast<float>(row) + 0.5F - outline.y;
      ideal_[at++] = shapes::ideal_cover(shape, x, y, sides.width, sides.height);
    }
  }
}

void ObjectFinder::judge_shape(const shapes::Outline& outline, Object& object) {
  const auto& box = outline.box;
  const int width = box.right - box.left + 2 * kMargin, height = box.bottom - box.top + 2 * kMargin;
  found_.assign(static_cast<std::size_t>(width) * static_cast<std::size_t>(height), 0.0F);
  ideal_.resize(found_.size());
  for (int row = box.top; row < box.bottom; ++row) {
    float* line = &found_[static_cast<std::size_t>((row - box.top + kMargin) * width + kMargin)];
    for (int column = box.left; column < box.right; ++column) *line++ = outline.cover(column, row);
  }
  std::array<std::array<float, shapes::kShapes>, kSoftenings> errors{};
  for (int shape = 0; shape < shapes::kShapes; ++shape) {
    draw_ideal(shape, outline);
    for (int softening = 0; softening < kSoftenings; ++softening) {
      if (softening > 0) soften(ideal_, buffer_, static_cast<std::size_t>(width));
      float difference = 0;
      for (std::size_t i = 0; i < found_.size(); ++i) {
        difference += std::abs(found_[i] - shapes::steepen(ideal_[i]));
      }
      errors.at(static_cast<std::size_t>(softening)).at(static_cast<std::size_t>(shape)) =
          difference / outline.area;
    }
  }
  const auto& nearest = *std::min_element(errors.begin(), errors.end(), [](const auto& a, const auto& b) {
    return *std::min_element(a.begin(), a.end()) < *std::min_element(b.begin(), b.end());
  });
  auto sorted = nearest;
  std::sort(sorted.begin(), sorted.end());
  object.error = sorted[0];
  object.margin = sorted[1] - sorted[0];
  if (object.error < kMostError && object.margin > kLeastMargin) {
    object.shape =
        static_cast<int>(std::min_element(nearest.begin(), nearest.end()) - nearest.begin());
  }
}

}  // namespace motion
